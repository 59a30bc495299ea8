import type { Answer } from '../../oauth/oauth-answers.ts'
import type { RestPortal } from '../../portal/rest-portal.ts'
import type { Row } from '../../portal/row-query.ts'
import type { SimulatedPair, TokenRegistry } from '../../tokens.ts'
import { authorize, timeSince } from '../rest-answers.ts'
import { RestError } from '../rest-call.ts'
import { type CallV3, type MethodV3, refusal, taskMethods } from './tasks.ts'

export interface RequestV3 {
  /** In small letters. */
  method: string
  /** Raw body. */
  text: string
  /** Token of the header or the query; the body may contain another. */
  token: string | undefined
  /** Header `Idempotency-Key`. */
  key: string | undefined
}

/** A method being called. */
type Run = (call: CallV3) => Promise<unknown>

/** Handles a request of REST 3. */
export async function answerRestV3 (portal: RestPortal, tokens: TokenRegistry, request: RequestV3): Promise<Answer> {
  try {
    // Rejected earlier, with an error of classic REST.
    if (!portal.bucket.take()) return [503, new RestError(503, 'QUERY_LIMIT_EXCEEDED', 'Too many requests').body]
    const run = runnerOf(portal, request.method)
    const { auth, ...params } = parse(request.text)
    const pair = authorizeV3(portal, tokens, request.token ?? (typeof auth === 'string' ? auth : undefined))
    checkTime(portal, pair, request.method)
    return await answerOnce({ portal, pair, params }, request, async call => {
      const start = Date.now()
      const result = await run(call)
      portal.operating.spend(pair.clientId, request.method, (Date.now() - start) / 1000)
      const { seconds, resetAt } = portal.operating.of(pair.clientId, request.method)
      return { result, time: { ...timeSince(start), operating: seconds, operating_reset_at: resetAt } }
    })
  } catch (error) {
    if (!(error instanceof RestError)) throw error
    return [error.status, { error: { code: error.code, message: error.message, ...error.more } }]
  }
}

/** @throws RestError unless the body is a list or an object; a list (of a batch) is returned by index */
function parse (text: string): Row {
  if (text.trim() === '') return {}
  try {
    const body: unknown = JSON.parse(text)
    if (typeof body === 'object' && body !== null) return Array.isArray(body) ? { list: body } : { ...body }
  } catch {}
  throw refusal(400, 'INVALIDJSONEXCEPTION', 'The request body is not valid JSON')
}

function runnerOf (portal: RestPortal, method: string): Run {
  if (method === 'batch') return batch
  const own = portal.stubsV3.get(method)
  if (own !== undefined) return async ({ portal, pair, params }) => await own(params, portal.user(pair.userId))
  const known: MethodV3 | undefined = Object.hasOwn(taskMethods, method) ? taskMethods[method] : undefined
  if (known === undefined) throw refusal(404, 'METHODNOTFOUNDEXCEPTION', `Method \`${method}\` not found`)
  return async call => {
    if (known.scope === undefined || portal.scope.includes(known.scope)) return await known.run(call)
    throw refusal(403, 'INSUFFICIENTSCOPEEXCEPTION', 'Insufficient scope')
  }
}

/** REST 3 has one error for all token problems. */
function authorizeV3 (portal: RestPortal, tokens: TokenRegistry, token: string | undefined): SimulatedPair {
  try {
    return authorize(portal, tokens, token)
  } catch (error) {
    if (error instanceof RestError) throw refusal(401, 'ACCESSDENIEDEXCEPTION', 'Access denied')
    throw error
  }
}

function checkTime (portal: RestPortal, { clientId }: SimulatedPair, method: string): void {
  if (portal.operating.isOver(clientId, method)) throw refusal(429, 'RATELIMITEXCEPTION', 'Rate limit exceeded')
}

/** Runs a list of `{ method, query, as }`; the first error fails the batch. */
async function batch ({ portal, pair, params: { list } }: CallV3): Promise<unknown> {
  if (!Array.isArray(list)) throw refusal(400, 'INVALIDSELECTEXCEPTION', 'Cannot parse the batch')
  const items = list as Array<{ method?: unknown, query?: unknown, as?: unknown }>
  const runs = items.map(({ method }) => runnerOf(portal, String(method).toLowerCase()))
  const context: Row = {}
  for (const [place, { query = {}, as = place }] of items.entries()) {
    const params = resolveReferences(query, context) as Row
    context[String(as)] = await (runs[place] as Run)({ portal, pair, params })
  }
  return items.every(({ as }) => as === undefined) ? Object.values(context) : context
}

const KEY = /^[\x20-\x7e]{1,255}$/
/** Read-only methods, whose key is ignored. */
const READS = /\.(get|list|tail|aggregate|fields|openapi)$|^batch$/

/**
 * Runs a call, or repeats the first response for the same key and parameters.
 *
 * @throws RestError for an invalid key, or one used with other parameters
 */
export async function answerOnce (call: CallV3, { method, key }: { method: string, key: string | undefined }, run: (call: CallV3) => Promise<object>): Promise<Answer> {
  if (key === undefined || READS.test(method)) return [200, await run(call)]
  if (!KEY.test(key)) throw refusal(400, 'INVALIDIDEMPOTENCYKEYEXCEPTION', 'The idempotency key is not valid')
  const { portal: { idempotentAnswers }, pair: { clientId, userId }, params } = call
  const keyed = { clientId, userId, method, key, params }
  const known = idempotentAnswers.find(keyed)
  if (known === 'other') throw refusal(422, 'IDEMPOTENCYKEYREUSEDEXCEPTION', 'The idempotency key was used with another request body')
  if (known !== undefined) return [200, known, { 'Idempotency-Key': key, 'Idempotent-Replayed': 'true' }]
  const body = await run(call)
  idempotentAnswers.store(keyed, body)
  return [200, body, { 'Idempotency-Key': key }]
}

/**
 * Resolves references to previous results of a batch: `{ $ref: 'name.item.id' }` to a value, `{ $refArray: 'name.items.id' }` to a list of
 * one field of many rows.
 *
 * @throws RestError for an unresolvable path
 */
export function resolveReferences (value: unknown, context: Row): unknown {
  if (Array.isArray(value)) return value.map(one => resolveReferences(one, context))
  if (!isRow(value)) return value
  if (typeof value['$ref'] === 'string') return follow(context, value['$ref'])
  if (typeof value['$refArray'] === 'string') return pluck(context, value['$refArray'])
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, resolveReferences(inner, context)]))
}

function pluck (context: Row, path: string): unknown[] {
  const dot = path.lastIndexOf('.')
  const rows = dot === -1 ? undefined : follow(context, path.slice(0, dot))
  if (!Array.isArray(rows)) throw refusal(400, 'INVALIDSELECTEXCEPTION', `Path '${path}' must point to a field of the rows of a list`)
  return rows.map(row => follow(row as Row, path.slice(dot + 1)))
}

function follow (start: Row, path: string): unknown {
  let place: unknown = start
  for (const key of path.split('.')) {
    const next = typeof place === 'object' && place !== null && Object.hasOwn(place, key) ? (place as Row)[key] : undefined
    if (next === undefined || next === null) throw refusal(400, 'INVALIDSELECTEXCEPTION', `Path '${path}' not found in context`)
    place = next
  }
  return place
}

function isRow (value: unknown): value is Row {
  return typeof value === 'object' && value !== null
}

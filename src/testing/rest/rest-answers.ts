import type { Answer } from '../oauth/oauth-answers.ts'
import type { RestPortal } from '../portal/rest-portal.ts'
import { type CallOutcome, isInScope, isTruthy, type MethodTable, RestCall, RestError, type RestMethod } from './rest-call.ts'
import { runBatch } from './methods/batch.ts'
import { crmMethods } from './methods/crm.ts'
import { eventMethods, offlineMethods } from './methods/events.ts'
import { imMethods, systemMethods } from './methods/system.ts'
import { listMethods, listRows } from './methods/lists.ts'
import type { Row } from '../portal/row-query.ts'
import type { SimulatedPair, TokenRegistry } from '../tokens.ts'

export interface RestRequest {
  method: string
  params: Row
  token: string | undefined
}

/** All methods except `batch`. */
const METHODS: MethodTable = { ...systemMethods, ...eventMethods, ...offlineMethods, ...crmMethods, ...listMethods, ...imMethods }

/** Handles a REST request to a portal. */
export async function answerRest (portal: RestPortal, tokens: TokenRegistry, request: RestRequest): Promise<Answer> {
  const { method, params, token } = request
  try {
    if (!portal.bucket.take()) throw new RestError(503, 'QUERY_LIMIT_EXCEEDED', 'Too many requests')
    const pair = authorize(portal, tokens, token)
    const call = new RestCall(portal, pair, params)
    return [200, method === 'batch' ? await batch(call) : await runMethod(method, call)]
  } catch (error) {
    if (!(error instanceof RestError)) throw error
    return [error.status, error.body]
  }
}

/** @throws RestError if the token does not permit a call */
export function authorize (portal: RestPortal, tokens: TokenRegistry, token: string | undefined): SimulatedPair {
  if (portal.deleted) throw new RestError(403, 'PORTAL_DELETED', 'Portal was deleted')
  const pair = token === undefined ? undefined : tokens.byAccess(token)
  if (pair === undefined || pair.portal !== portal) throw new RestError(401, 'NO_AUTH_FOUND', 'Wrong authorization data')
  if (portal.removedApps.has(pair.clientId)) throw new RestError(401, 'APPLICATION_NOT_FOUND', 'Application not found')
  if (!pair.alive || pair.expiresAt <= Date.now()) throw new RestError(401, 'expired_token', 'The access token provided has expired.')
  if (!portal.paid) throw new RestError(401, 'ACCESS_DENIED', 'REST API is available only on commercial plans.')
  const user = portal.user(pair.userId)
  if (!user.active) throw new RestError(401, 'authorization_error', 'Unable to authorize user')
  if (!user.access) throw new RestError(403, 'user_access_error', 'The user does not have access to the application.')
  return pair
}

async function batch (call: RestCall): Promise<object> {
  const start = Date.now()
  const { portal, pair } = call
  const outcome = await runBatch(call.value('cmd'), isTruthy(call.value('halt')), async (method, params) => {
    return await runMethod(method, new RestCall(portal, pair, params))
  })
  return { ...outcome, time: timeSince(start) }
}

async function runMethod (name: string, call: RestCall): Promise<CallOutcome & { time: object }> {
  const start = Date.now()
  const { portal, pair: { clientId } } = call
  const method = ownMethod(portal, name) ?? (Object.hasOwn(METHODS, name) ? METHODS[name] : undefined)
  if (method === undefined) throw new RestError(404, 'ERROR_METHOD_NOT_FOUND', 'Method not found!')
  if (!isInScope(method.scope, portal.scope)) {
    throw new RestError(403, 'insufficient_scope', 'The request requires higher privileges than provided by the access token')
  }
  if (portal.operating.isOver(clientId, name)) throw new RestError(429, 'OPERATION_TIME_LIMIT', 'Method is blocked due to operation time limit.')
  const outcome = await method.run(call)
  portal.operating.spend(clientId, name, (Date.now() - start) / 1000)
  const { seconds, resetAt } = portal.operating.of(clientId, name)
  return { ...outcome, time: { ...timeSince(start), operating: seconds, operating_reset_at: resetAt } }
}

/** Returns the stub of a method, if any. */
function ownMethod ({ stubs }: RestPortal, name: string): RestMethod | undefined {
  const answer = stubs.get(name)
  if (typeof answer === 'object') return { run: call => listRows(call, answer.rows, answer) }
  return answer && { run: async ({ params, user }) => ({ result: await answer(params, user) }) }
}

/** Returns the timing fields of a response. */
export function timeSince (start: number): object {
  const finish = Date.now()
  const iso = (ms: number) => new Date(ms).toISOString().replace(/\.\d+Z$/, '+00:00')
  const duration = (finish - start) / 1000
  return { start: start / 1000, finish: finish / 1000, duration, processing: duration, date_start: iso(start), date_finish: iso(finish), operating: 0 }
}

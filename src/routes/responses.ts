import { STATUS_CODES } from 'node:http'
import type { FastifyBaseLogger, FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import * as Type from 'typebox'
import { FST_B24_INTERNAL } from '../errors.ts'
import { settlesWithin } from '../async/with-timeout.ts'
import { EVENT_CODE, MEMBER_ID } from '../wire/envelope.ts'
import { redact } from '../wire/redact.ts'

export const AcceptedSchema = Type.Object({ status: Type.Literal('accepted') }, { description: 'The event is stored; with `delivery.mode: inline`, handled' })
export const ReadySchema = Type.Object({ status: Type.Literal('ready') }, { description: 'The route is there; events come by POST' })
export const ErrorSchema = Type.Object({
  statusCode: Type.Integer(),
  code: Type.String({ description: 'FST_B24_… of the plugin, FST_ERR_… of Fastify' }),
  error: Type.String(),
  message: Type.String()
})

/** Already logged, with more detail, where they are thrown. */
const LOGGED_ALREADY = new Set(['FST_B24_FORBIDDEN', 'FST_B24_HANDLER_FAILED'])

type RouteError = FastifyError & { headers?: Record<string, string> }

export interface PublicError {
  statusCode: number
  code: string
  message: string
  headers: Record<string, string>
}

/** Answers every error with its code; what has none of ours, and is not the sender's fault, is told to the log alone. */
export function sendError (error: RouteError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { statusCode, code, message, headers } = logError(error, request, reply)
  return reply.code(statusCode).headers(headers).send({ statusCode, code, error: STATUS_CODES[statusCode], message })
}

/** Writes an error to the log, and says what may be answered of it. */
export function logError (error: RouteError, { log, body }: FastifyRequest, reply: FastifyReply): PublicError {
  const statusCode = error.statusCode ?? (reply.statusCode >= 400 ? reply.statusCode : 500)
  const isTold = statusCode < 500 || String(error.code).startsWith('FST_')
  const { code, message } = isTold ? error : new FST_B24_INTERNAL()
  if (LOGGED_ALREADY.has(code)) log.debug({ code, statusCode }, 'post answered')
  else if (statusCode < 500) log.info({ code, statusCode }, 'post refused')
  else log.error({ err: error, ...claimedBy(body) }, 'event not taken')
  return { statusCode, code, message, headers: error.headers ?? {} }
}

interface Claimed {
  event?: string
  memberId?: string
  isVerified?: false
}

/** Which event it was and of which portal, as the sender says: whoever looks for what is missing has no other trace. */
function claimedBy (body: unknown): Claimed {
  const { event, auth, member_id: ofPage } = (body ?? {}) as { event?: unknown, auth?: { member_id?: unknown }, member_id?: unknown }
  const memberId = auth?.member_id ?? ofPage
  const claimed: Claimed = {}
  if (typeof event === 'string' && EVENT_CODE.test(event)) claimed.event = event
  if (typeof memberId === 'string' && MEMBER_ID.test(memberId)) claimed.memberId = memberId
  return Object.keys(claimed).length === 0 ? {} : { ...claimed, isVerified: false }
}

type Serializer = (value: never) => unknown

const SERIALIZERS = Symbol.for('pino.serializers')

/** Where a host's serializer may put what stands in the query. */
const QUERY_FIELDS = ['query', 'querystring', 'search', 'searchParams']

/**
 * Serializers for the log of the plugin's routes: `req` as the host writes it, without the query and without credentials. Bitrix24
 * names the session of a page there, `APP_SID`, and users paste addresses with secrets.
 *
 * @param own serializers that the plugin was registered with
 */
export function serializersWithoutQuery (log: FastifyBaseLogger, own: Record<string, Serializer> = {}): Record<'req', (request: FastifyRequest) => unknown> {
  const { req } = { ...(log as { [SERIALIZERS]?: Record<string, Serializer> })[SERIALIZERS], ...own }
  return {
    req: (request) => {
      const written = req?.(request as never)
      if (typeof written === 'string' && !written.includes('?')) return written
      if (typeof written !== 'object' || written === null || !('url' in written)) return { method: request.method, url: pathOf(request.url) }
      const kept: Record<string, unknown> = {}
      for (const [key, value] of Object.entries(written)) {
        if (!QUERY_FIELDS.includes(key)) kept[key] = typeof value === 'string' && /url|path$/i.test(key) ? pathOf(value) : value
      }
      return redact(kept)
    }
  }
}

function pathOf (url: string): string {
  return url.replace(/[?#].*$/s, '')
}

/**
 * Lets the server close when the answers that a route has begun are sent. Node destroys a connection whose answer is written and not
 * yet given to the system, so that a sender would see a broken connection in place of a 200 or 503.
 *
 * @param mostMs longest wait, ms
 */
export function closeAfterResponses (scope: FastifyInstance, mostMs: number): void {
  let underWay = 0
  let tellLast: (() => void) | undefined
  // Not before the body has come: a sender that trickles it would hold up the close.
  scope.addHook('preHandler', (_request, reply, done) => {
    // Who hung up before waits for no answer, and no event tells of it any more.
    if (!reply.raw.destroyed) {
      underWay++
      reply.raw.once('close', () => { if (--underWay === 0) tellLast?.() })
    }
    done()
  })
  scope.addHook('preClose', async () => {
    if (underWay > 0) await settlesWithin(new Promise<void>(resolve => { tellLast = resolve }), mostMs)
  })
}

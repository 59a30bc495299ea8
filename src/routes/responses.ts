import { STATUS_CODES } from 'node:http'
import type { FastifyBaseLogger, FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import * as Type from 'typebox'
import { FST_B24_INTERNAL } from '../errors.ts'
import { settlesWithin } from '../async/with-timeout.ts'
import { EVENT_CODE, MEMBER_ID } from '../wire/envelope.ts'
import { redact } from '../wire/redact.ts'

export const AcceptedSchema = Type.Object({ status: Type.Literal('accepted') }, { description: 'The event is stored; with `delivery.mode: inline`, handled' })
export const ReadySchema = Type.Object({ status: Type.Literal('ready') }, { description: 'The route exists; events are sent by POST' })
export const ErrorSchema = Type.Object({
  statusCode: Type.Integer(),
  code: Type.String({ description: 'FST_B24_… of the plugin, FST_ERR_… of Fastify' }),
  error: Type.String(),
  message: Type.String()
})

/** Errors that are logged in more detail where they are thrown. */
const LOGGED_ALREADY = new Set(['FST_B24_FORBIDDEN', 'FST_B24_HANDLER_FAILED', 'FST_B24_PORTAL_QUOTA'])

type RouteError = FastifyError & { headers?: Record<string, string> }

export interface PublicError {
  statusCode: number
  code: string
  message: string
  headers: Record<string, string>
}

/** Responds with the code of an error. Server errors without a code of the plugin are only logged, and answered as an internal error. */
export function sendError (error: RouteError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { statusCode, code, message, headers } = logError(error, request, reply)
  return reply.code(statusCode).headers(headers).send({ statusCode, code, error: STATUS_CODES[statusCode], message })
}

/** Logs an error. Returns the parts of it that the response may contain. */
export function logError (error: RouteError, { log, body }: FastifyRequest, reply: FastifyReply): PublicError {
  const statusCode = error.statusCode ?? (reply.statusCode >= 400 ? reply.statusCode : 500)
  const isPublic = statusCode < 500 || String(error.code).startsWith('FST_')
  const { code, message } = isPublic ? error : new FST_B24_INTERNAL()
  if (LOGGED_ALREADY.has(code)) log.debug({ code, statusCode }, 'request rejected')
  else if (statusCode < 500) log.info({ code, statusCode }, 'request rejected')
  // Anyone can cause it: a stack per request would fill the disk.
  else if (code === 'FST_B24_INSTALL_BUSY') log.warn({ code, ...claimedBy(body) }, 'install rejected: too many are being verified')
  else log.error({ err: error, ...claimedBy(body) }, 'failed to store event')
  return { statusCode, code, message, headers: error.headers ?? {} }
}

interface Claimed {
  event?: string
  memberId?: string
  isVerified?: false
}

/** Returns the unverified event code and portal of a failed request, to make lost events traceable. */
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

/** Keys under which a host's serializer may log the query. */
const QUERY_FIELDS = ['query', 'querystring', 'search', 'searchParams']

/**
 * Creates log serializers for the plugin's routes: `req` as the host serializes it, without the query and credentials. The query has
 * the session of a page (`APP_SID`) and possibly secrets of a pasted URL.
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
 * Delays closing the server until responses in progress are sent. Node destroys connections with a response that is written but not
 * flushed, so the sender would see a broken connection instead of a 200 or 503.
 *
 * @param mostMs maximum delay, ms
 */
export function closeAfterResponses (scope: FastifyInstance, mostMs: number): void {
  let inProgress = 0
  let onLast: (() => void) | undefined
  // Counted once the body has arrived: a slow sender must not delay closing.
  scope.addHook('preHandler', (_request, reply, done) => {
    // A sender that has already disconnected gets no response and emits no more events.
    if (!reply.raw.destroyed) {
      inProgress++
      reply.raw.once('close', () => { if (--inProgress === 0) onLast?.() })
    }
    done()
  })
  scope.addHook('preClose', async () => {
    if (inProgress > 0) await settlesWithin(new Promise<void>(resolve => { onLast = resolve }), mostMs)
  })
}

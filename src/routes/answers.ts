import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import * as Type from 'typebox'
import { FST_B24_INTERNAL } from '../errors.ts'
import { EVENT_CODE, MEMBER_ID } from '../wire/envelope.ts'

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

type AnsweredError = FastifyError & { headers?: Record<string, string> }

export interface ToldError {
  statusCode: number
  code: string
  message: string
  headers: Record<string, string>
}

/** Answers every error with its code; what has none of ours, and is not the sender's fault, is told to the log alone. */
export function answerError (error: AnsweredError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { statusCode, code, message, headers } = tellError(error, request, reply)
  return reply.code(statusCode).headers(headers).send({ statusCode, code, error: STATUS_CODES[statusCode], message })
}

/** Writes an error to the log, and says what may be answered of it. */
export function tellError (error: AnsweredError, { log, body }: FastifyRequest, reply: FastifyReply): ToldError {
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

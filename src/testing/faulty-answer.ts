import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyReply } from 'fastify'
import type { Fault } from './faults.ts'
import type { Answer } from './oauth/oauth-answers.ts'

/** Answers as `work` says, or as a fault has it. */
export async function answerWith (reply: FastifyReply, fault: Fault = {}, work: () => Answer | Promise<Answer>): Promise<FastifyReply> {
  const { hang, delayMs, answerDelayMs } = fault
  if (hang === true) return reply.hijack()
  if (delayMs !== undefined) await sleep(delayMs, undefined, { ref: false })
  if (reply.request.socket.destroyed) return reply.hijack()
  const answer = faulty(fault) ?? await work()
  if (answerDelayMs !== undefined) await sleep(answerDelayMs, undefined, { ref: false })
  return send(reply, answer, fault)
}

function faulty ({ status, body }: Fault): Answer | undefined {
  return status === undefined && body === undefined ? undefined : [status ?? 200, body ?? '']
}

function send (reply: FastifyReply, [status, body, ownHeaders]: Answer, { headers, transform }: Fault): FastifyReply {
  const isText = typeof body === 'string' || Buffer.isBuffer(body)
  const bytes = isText ? body : JSON.stringify(body)
  reply.code(status).type(typeof body === 'string' ? 'text/html' : 'application/json').headers({ ...ownHeaders, ...headers })
  return reply.send(transform === undefined ? bytes : transform(String(bytes)))
}

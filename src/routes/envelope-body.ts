import type { FastifyReply, FastifyRequest } from 'fastify'
import { FST_B24_ENVELOPE, FST_B24_NOT_AN_EVENT } from '../errors.ts'
import { nameOfCallback } from '../wire/callbacks.ts'

type EnvelopeCheck = typeof import('../wire/envelope-check.ts')

let check: EnvelopeCheck | undefined

/** Loads the check with the first post: at the start it would cost every app ten milliseconds. */
export function loadCheck (_request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void {
  if (check !== undefined) return done()
  import('../wire/envelope-check.ts').then((loaded) => {
    check = loaded
    done()
  }, done)
}

/** Validates the body of an event, once the check is loaded. */
export function validateEnvelope (body: unknown): true | { error: Error } {
  const { checkEnvelope, envelopeProblem } = check as EnvelopeCheck
  const callback = nameOfCallback(body)
  if (callback === undefined && checkEnvelope(body)) return true
  return { error: callback === undefined ? new FST_B24_ENVELOPE(envelopeProblem(body)) : new FST_B24_NOT_AN_EVENT(callback) }
}

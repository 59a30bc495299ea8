import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Receiver } from '../delivery/receiver.ts'
import { FST_B24_ENVELOPE, FST_B24_FORBIDDEN, FST_B24_NOT_AN_EVENT } from '../errors.ts'
import { nameOfCallback } from '../wire/callbacks.ts'
import { EnvelopeSchema, type Envelope } from '../wire/envelope.ts'
import { AcceptedSchema, answerError, ErrorSchema, ReadySchema } from './answers.ts'
import { useBodyParsers } from './body-parsers.ts'

type EnvelopeCheck = typeof import('../wire/envelope-check.ts')

let check: EnvelopeCheck | undefined

const ACCEPTED = { status: 'accepted' }
const READY = { status: 'ready' }

const eventSchema = {
  summary: 'Receives Bitrix24 events',
  consumes: ['application/x-www-form-urlencoded', 'application/json'],
  body: EnvelopeSchema,
  response: { 200: AcceptedSchema, '4xx': ErrorSchema, '5xx': ErrorSchema }
}
const readySchema = { summary: 'Tells that the route is there', response: { 200: ReadySchema } }

export interface EventRoutesOptions {
  receiver: Receiver
  bodyLimit: number
}

/**
 * `POST /events`, and `POST /install` for the ONAPPINSTALL that Bitrix24 sends to the install URL of an app without a page.
 * GET answers 200 on both: Bitrix24 asks that handlers be reachable by GET too.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/events/test-handler.md
 */
export async function eventRoutes (scope: FastifyInstance, { receiver, bodyLimit }: EventRoutesOptions): Promise<void> {
  await useBodyParsers(scope)
  scope.setErrorHandler(answerError)
  // The host's ajv may coerce, default and remove; a body from the wire must reach us as it came.
  // What the host adds for headers and the like is not ours to judge.
  scope.setValidatorCompiler(({ httpPart }) => httpPart === 'body' ? validateEnvelope : () => true)
  scope.setSerializerCompiler(() => JSON.stringify)

  for (const path of ['/events', '/install']) {
    scope.post(path, { bodyLimit, schema: eventSchema, preValidation: loadCheck }, async (request: FastifyRequest) => {
      const receipt = await receiver.receive(request.body as Envelope, request)
      if (receipt.status === 'rejected') throw new FST_B24_FORBIDDEN()
      request.portal = receipt.portal ?? null
      return ACCEPTED
    })
    scope.get(path, { schema: readySchema }, async () => READY)
  }
}

/** Loads the check with the first post: at the start it would cost every app ten milliseconds. */
function loadCheck (_request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void {
  if (check !== undefined) return done()
  import('../wire/envelope-check.ts').then((loaded) => {
    check = loaded
    done()
  }, done)
}

function validateEnvelope (body: unknown): true | { error: Error } {
  const { checkEnvelope, envelopeProblem } = check as EnvelopeCheck
  const callback = nameOfCallback(body)
  if (callback === undefined && checkEnvelope(body)) return true
  return { error: callback === undefined ? new FST_B24_ENVELOPE(envelopeProblem(body)) : new FST_B24_NOT_AN_EVENT(callback) }
}

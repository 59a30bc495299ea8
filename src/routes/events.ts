import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Receiver } from '../delivery/intake/receiver.ts'
import { FST_B24_FORBIDDEN } from '../errors.ts'
import { EnvelopeSchema, type Envelope } from '../wire/envelope.ts'
import { AcceptedSchema, answerError, ErrorSchema, ReadySchema } from './answers.ts'
import { useBodyParsers } from './body-parsers.ts'
import { closeAfterAnswers } from './close-after-answers.ts'
import { loadCheck, validateEnvelope } from './envelope-body.ts'
import { installPage, type PageParts } from './install-page.ts'

const ACCEPTED = { status: 'accepted' }
const READY = { status: 'ready' }

const eventSchema = {
  summary: 'Receives Bitrix24 events',
  consumes: ['application/x-www-form-urlencoded', 'application/json'],
  body: EnvelopeSchema,
  response: { 200: AcceptedSchema, '4xx': ErrorSchema, '5xx': ErrorSchema }
}
const installSchema = { ...eventSchema, summary: 'The install page, and Bitrix24 events', consumes: [...eventSchema.consumes, 'multipart/form-data'] }
const readySchema = { summary: 'Tells that the route is there', response: { 200: ReadySchema } }

export interface EventRoutesOptions {
  receiver: Receiver
  bodyLimit: number
  /** What makes the install page; without it, its post is answered 400 like that of any other page. */
  page?: PageParts | undefined
  /** Longest time that closing waits for answers that are under way, ms. */
  closeTimeoutMs: number
}

/**
 * `POST /events`, and `POST /install`: for the ONAPPINSTALL that Bitrix24 sends to the install URL of an app without a page,
 * and for what a user's browser posts there.
 * GET answers 200 on both: Bitrix24 asks that handlers be reachable by GET too.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/events/test-handler.md
 */
export async function eventRoutes (scope: FastifyInstance, { receiver, bodyLimit, page, closeTimeoutMs }: EventRoutesOptions): Promise<void> {
  closeAfterAnswers(scope, closeTimeoutMs)
  await useBodyParsers(scope)
  scope.setErrorHandler(answerError)
  // The host's ajv may coerce, default and remove; a body from the wire must reach us as it came.
  // What the host adds for headers and the like is not ours to judge.
  scope.setValidatorCompiler(({ httpPart }) => httpPart === 'body' ? validateEnvelope : () => true)
  scope.setSerializerCompiler(() => JSON.stringify)

  const route = { bodyLimit, schema: eventSchema, preValidation: loadCheck }
  const receive = async (request: FastifyRequest): Promise<object> => {
    const receipt = await receiver.receive(request.body as Envelope, request)
    if (receipt.status === 'rejected') throw new FST_B24_FORBIDDEN()
    request.portal = receipt.portal ?? null
    return ACCEPTED
  }
  scope.post('/events', route, receive)
  if (page === undefined) scope.post('/install', route, receive)
  else await scope.register(installPage, { page, route: { ...route, schema: installSchema }, receive })
  for (const path of ['/events', '/install']) scope.get(path, { schema: readySchema }, async () => READY)
}

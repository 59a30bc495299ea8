import type { FastifyInstance, FastifyRequest, FastifySchema } from 'fastify'
import type { Receiver } from '../delivery/receive.ts'
import { FST_B24_FORBIDDEN } from '../errors.ts'
import { EnvelopeSchema, type Envelope } from '../wire/envelope.ts'
import { AcceptedSchema, sendError, closeAfterResponses, ErrorSchema, ReadySchema, serializersWithoutQuery } from './responses.ts'
import { loadEnvelopeCheck, addBodyParsers, validateEnvelope } from './body-parsers.ts'
import { type BodyReadingOptions, limitBodies } from './body-reading.ts'
import { installPageRoutes, type InstallPageParts, type RouteDefinition } from './install-page/route.ts'
import { warnWithoutTrustProxy } from './trust-proxy-warning.ts'

const ACCEPTED = { status: 'accepted' }
const READY = { status: 'ready' }

const eventSchema = {
  summary: 'Receives Bitrix24 events',
  consumes: ['application/x-www-form-urlencoded', 'application/json'],
  body: EnvelopeSchema,
  response: { 200: AcceptedSchema, '4xx': ErrorSchema, '5xx': ErrorSchema }
}
const installSchema = { ...eventSchema, summary: 'The install page, and Bitrix24 events', consumes: [...eventSchema.consumes, 'multipart/form-data'] }
const readySchema = { summary: 'Checks that the route exists', response: { 200: ReadySchema } }

interface RouterOptions { ignoreDuplicateSlashes?: boolean, ignoreTrailingSlash?: boolean }

export interface EventRoutesOptions {
  receiver: Receiver
  /** Prefix of the paths, below the prefix of the scope. */
  base?: string
  bodyLimit: number
  bodies?: BodyReadingOptions
  /** The install page; without it, its requests are answered with 400 like those of other pages. */
  page?: InstallPageParts | undefined
  /** Maximum time that closing waits for responses in progress, ms. */
  closeTimeoutMs: number
  /** Serializers of the host, as passed by Fastify. */
  logSerializers?: Record<string, (value: never) => unknown> | undefined
}

/**
 * Adds `POST /events` and `POST /install`. The latter receives ONAPPINSTALL, which Bitrix24 sends to the install URL of an app without a
 * page, and the install page's form from a user's browser.
 * Both answer GET with 200, since Bitrix24 requires handlers to be reachable by GET. Trailing and duplicate slashes are accepted: with such
 * a URL entered in Bitrix24, every event would otherwise be lost.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/events/test-handler.md
 */
export async function eventRoutes (scope: FastifyInstance, { receiver, base = '', bodyLimit, bodies, page, closeTimeoutMs, logSerializers: own }: EventRoutesOptions): Promise<void> {
  closeAfterResponses(scope, closeTimeoutMs)
  warnWithoutTrustProxy(scope)
  limitBodies(scope, bodyLimit, bodies)
  await addBodyParsers(scope, bodyLimit)
  scope.setErrorHandler(sendError)
  // The host's ajv may coerce, add defaults and remove properties, but the body must stay as sent. Schemas that the host adds for
  // headers etc. are not validated here.
  scope.setValidatorCompiler(({ httpPart }) => httpPart === 'body' ? validateEnvelope : () => true)
  scope.setSerializerCompiler(() => JSON.stringify)

  const logSerializers = serializersWithoutQuery(scope.log, own)
  const receive = async (request: FastifyRequest): Promise<object> => {
    const receipt = await receiver.receive(request.body as Envelope, request)
    if (receipt.status === 'rejected') throw new FST_B24_FORBIDDEN()
    request.portal = receipt.portal ?? null
    return ACCEPTED
  }
  const [events, installs] = [spellingsOf(scope, base, '/events'), spellingsOf(scope, base, '/install')]
  const postsAt = (spellings: Spelling[], schema: FastifySchema): RouteDefinition[] => (
    spellings.map(({ url, hide }) => ({ url, schema: { ...schema, hide }, preValidation: loadEnvelopeCheck, logSerializers }))
  )
  for (const { url, ...route } of postsAt(page === undefined ? [...events, ...installs] : events, eventSchema)) scope.post(url, route, receive)
  if (page !== undefined) await scope.register(installPageRoutes, { page, routes: postsAt(installs, installSchema), receive })
  for (const { url, hide } of [...events, ...installs]) scope.get(url, { schema: { ...readySchema, hide }, logSerializers }, async () => READY)
}

interface Spelling {
  url: string
  /** Hidden from the host's API documentation. */
  hide: boolean
}

/** Returns the variants of a path with extra slashes, canonical one first, without those that the host's router treats as equal. */
function spellingsOf ({ initialConfig, prefix: above }: FastifyInstance, base: string, path: string): Spelling[] {
  const { routerOptions, ...config } = initialConfig as RouterOptions & { routerOptions?: RouterOptions }
  const { ignoreDuplicateSlashes, ignoreTrailingSlash } = { ...config, ...routerOptions }
  const starts = ignoreDuplicateSlashes === true ? [base + path] : [base + path, `${base}/${path}`, ...(above === '' ? [`/${base}${path}`] : [])]
  const all = ignoreTrailingSlash === true ? starts : starts.flatMap(start => [start, `${start}/`])
  return [...new Set(all)].map((url, at) => ({ url, hide: at > 0 }))
}

import type { FastifyInstance, FastifyRequest } from 'fastify'
import { decodeForm } from '../../wire/form.ts'
import { answerWith } from '../faults.ts'
import type { Answer } from '../oauth/oauth-answers.ts'
import type { SimulatedPortal } from '../portal/portal.ts'
import type { RestRecord } from '../portal/method-stubs.ts'
import { answerRest, type RestRequest } from './rest-answers.ts'
import type { Row } from '../portal/row-query.ts'
import type { TokenRegistry } from '../tokens.ts'
import { answerRestV3, type RequestV3 } from './v3/answers.ts'

/** Finds a portal by its current or a former domain. */
export type FindPortal = (domain: string) => SimulatedPortal | undefined

interface PortalRoute { Params: { domain: string, method: string } }

interface RestServerParts { tokens: TokenRegistry, find: FindPortal }

/** Adds the REST side of every portal: `/portals/<domain>/rest/<method>`, by POST and by GET. */
export async function addRestRoutes (scope: FastifyInstance, { tokens, find }: RestServerParts): Promise<void> {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('application/json', { parseAs: 'string' }, async (_request: unknown, text: string) => JSON.parse(text))
  scope.addContentTypeParser('*', { parseAs: 'string' }, async (_request: unknown, text: string) => decodeForm(text))
  addRoute(scope, '/portals/:domain/rest/:method', find, request => {
    const asked = read(request)
    return { record: describe(asked), answer: async portal => await answerRest(portal, tokens, asked) }
  })
}

/** Adds REST 3 of every portal: `/portals/<domain>/rest/api/<method>`, with optional JSON parameters. */
export async function addRestV3Routes (scope: FastifyInstance, { tokens, find }: RestServerParts): Promise<void> {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('*', { parseAs: 'string' }, async (_request: unknown, text: string) => text)
  addRoute(scope, '/portals/:domain/rest/api/:method', find, request => {
    const asked = readV3(request)
    return { record: describeV3(asked, request), answer: async portal => await answerRestV3(portal, tokens, asked) }
  })
}

/** A parsed request. */
interface ReadRequest {
  record: RestRecord
  answer: (portal: SimulatedPortal) => Promise<Answer>
}

function addRoute (scope: FastifyInstance, url: string, find: FindPortal, read: (request: FastifyRequest<PortalRoute>) => ReadRequest): void {
  scope.route<PortalRoute>({
    method: ['GET', 'POST'],
    url,
    handler: async (request, reply) => {
      const portal = find(request.params.domain)
      if (portal === undefined) return await reply.code(404).type('text/html').send('<h1>No such Bitrix24</h1>')
      const { record, answer } = read(request)
      portal.calls.push(record)
      reply.raw.once('finish', () => { record.status = reply.statusCode })
      if (portal.domain !== request.params.domain) return await reply.redirect(movedTo(portal, request))
      return await answerWith(reply, portal.faults.take(record.method), async () => await answer(portal))
    }
  })
}

interface ParsedRequest extends RestRequest {
  inBody: string[]
  inUrl: string[]
}

function read (request: FastifyRequest<PortalRoute>): ParsedRequest {
  const body = (request.body ?? {}) as Row
  const query = queryOf(request)
  const { auth, access_token: accessToken, ...params } = { ...query, ...body }
  return {
    method: methodOf(request),
    params,
    token: bearerOf(request) ?? text(auth) ?? text(accessToken),
    inBody: Object.keys(body),
    inUrl: Object.keys(query)
  }
}

function describe ({ method, inBody, inUrl, params: { cmd } }: ParsedRequest): RestRecord {
  const commands = typeof cmd === 'object' && cmd !== null && method === 'batch' ? Object.values(cmd).map(command => String(command).replace(/\?.*$/s, '')) : undefined
  return { method, inBody, inUrl, ...(commands !== undefined && { commands }) }
}

function readV3 (request: FastifyRequest<PortalRoute>): RequestV3 {
  const { auth } = queryOf(request)
  const key = request.headers['idempotency-key']
  return { method: methodOf(request), text: (request.body ?? '') as string, token: bearerOf(request) ?? text(auth), key: text(key) }
}

function describeV3 ({ method, text }: RequestV3, request: FastifyRequest<PortalRoute>): RestRecord {
  const inUrl = Object.keys(queryOf(request))
  const record = { method, inBody: [] as string[], inUrl, version: 3 as const }
  try {
    const body: unknown = JSON.parse(text)
    if (Array.isArray(body)) return { ...record, commands: body.map(item => String((item as Row)['method'])) }
    return { ...record, inBody: Object.keys(body as object) }
  } catch {
    return record
  }
}

function methodOf ({ params }: FastifyRequest<PortalRoute>): string {
  return params.method.replace(/\.json$/, '').toLowerCase()
}

function queryOf ({ url }: FastifyRequest): Row {
  return decodeForm(url.split('?').slice(1).join('?'))
}

function bearerOf ({ headers }: FastifyRequest): string | undefined {
  return /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1]
}

/** Returns the URL at the new domain. */
function movedTo (portal: SimulatedPortal, request: FastifyRequest<PortalRoute>): string {
  return portal.clientEndpoint + request.url.replace(/^.*?\/rest\//, '')
}

function text (value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

import type { FastifyInstance, FastifyRequest } from 'fastify'
import { decodeForm } from '../../wire/form.ts'
import { answerWith } from '../faulty-answer.ts'
import type { SimulatedPortal } from '../portal/portal.ts'
import type { RestRecord } from '../portal/rest-record.ts'
import { answerRest, type RestRequest } from './rest-answers.ts'
import type { Row } from '../portal/row-query.ts'
import type { TokenBook } from '../tokens.ts'

/** Finds a portal by its domain, or by one that it had before it was renamed. */
export type PortalFinder = (domain: string) => SimulatedPortal | undefined

interface Place { Params: { domain: string, method: string } }

/** Adds the REST side of every portal: `/portals/<domain>/rest/<method>`, by POST and by GET. */
export async function addRestRoutes (scope: FastifyInstance, { book, find }: { book: TokenBook, find: PortalFinder }): Promise<void> {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('application/json', { parseAs: 'string' }, async (_request: unknown, text: string) => JSON.parse(text))
  scope.addContentTypeParser('*', { parseAs: 'string' }, async (_request: unknown, text: string) => decodeForm(text))
  scope.route<Place>({
    method: ['GET', 'POST'],
    url: '/portals/:domain/rest/:method',
    handler: async (request, reply) => {
      const portal = find(request.params.domain)
      if (portal === undefined) return await reply.code(404).type('text/html').send('<h1>No such Bitrix24</h1>')
      const asked = read(request)
      const record = describe(asked)
      portal.calls.push(record)
      reply.raw.once('finish', () => { record.status = reply.statusCode })
      if (portal.domain !== request.params.domain) return await reply.redirect(movedTo(portal, request))
      return await answerWith(reply, portal.faults.take(asked.method), async () => await answerRest(portal, book, asked))
    }
  })
}

interface Asked extends RestRequest {
  inBody: string[]
  inUrl: string[]
}

function read (request: FastifyRequest<Place>): Asked {
  const body = (request.body ?? {}) as Row
  const query: Row = decodeForm(request.url.split('?').slice(1).join('?'))
  const { auth, access_token: accessToken, ...params } = { ...query, ...body }
  const [, bearer] = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '') ?? []
  return {
    method: request.params.method.replace(/\.json$/, '').toLowerCase(),
    params,
    token: bearer ?? text(auth) ?? text(accessToken),
    inBody: Object.keys(body),
    inUrl: Object.keys(query)
  }
}

function describe ({ method, inBody, inUrl, params: { cmd } }: Asked): RestRecord {
  const commands = typeof cmd === 'object' && cmd !== null && method === 'batch' ? Object.values(cmd).map(command => String(command).replace(/\?.*$/s, '')) : undefined
  return { method, inBody, inUrl, ...(commands !== undefined && { commands }) }
}

/** The same place at the new address. */
function movedTo (portal: SimulatedPortal, request: FastifyRequest<Place>): string {
  return portal.clientEndpoint + request.url.replace(/^.*?\/rest\//, '')
}

function text (value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type Answer, answerAppInfo, answerToken } from './oauth-answers.ts'
import { answerWith, type FaultList, type FaultPoint } from '../faults.ts'
import type { PortalState, TokenRegistry } from '../tokens.ts'

/** A request to the OAuth server, with parameter names only, so it can be printed. */
export interface OAuthRequest {
  method: string
  /** Path without the query. */
  path: string
  /** Names of body parameters. */
  inBody: string[]
  /** Names of query parameters, which must include no secret: proxies log URLs. */
  inUrl: string[]
  /** `grant_type` of the request, if any. */
  grantType?: string
  /** Portal of the token in the request; absent for unknown tokens, such as in a check of the app's credentials. */
  memberId?: string
}

export interface OAuthServerParts {
  tokens: TokenRegistry
  faults: FaultList
  requests: OAuthRequest[]
}

type Fields = Record<string, string>

/** Adds the routes of Bitrix24's OAuth server: `app.info` and the token endpoint, by POST and by GET. */
export function addOAuthRoutes (server: FastifyInstance, { tokens, faults, requests }: OAuthServerParts): void {
  server.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, text, done) => {
    done(null, Object.fromEntries(new URLSearchParams(text as string)))
  })
  const portalOf = (fields: Fields): PortalState | undefined => {
    return (tokens.byRefresh(fields['refresh_token'] ?? '') ?? tokens.byAccess(fields['auth'] ?? ''))?.portal
  }
  const add = (paths: string[], point: FaultPoint, answer: (fields: Fields) => Answer) => {
    for (const url of paths) {
      server.route({
        method: ['GET', 'POST'],
        url,
        handler: async (request, reply) => {
          const fields = fieldsOf(request)
          const portal = portalOf(fields)
          requests.push(describe(request, portal))
          return await answerWith(reply, faults.take(point, portal), () => answer(fields))
        }
      })
    }
  }
  add(['/rest/app.info/', '/rest/app.info'], 'app.info', fields => answerAppInfo(tokens, fields))
  add(['/oauth/token/', '/oauth/token'], 'token', fields => answerToken(tokens, fields, originOf(server)))
}

/** Returns the origin of the simulator, such as `http://127.0.0.1:40123`. */
export function originOf (server: FastifyInstance): string {
  return new URL(server.listeningOrigin).origin
}

function fieldsOf (request: FastifyRequest): Fields {
  return { ...request.query as Fields, ...request.body as Fields | undefined }
}

function describe (request: FastifyRequest, portal: PortalState | undefined): OAuthRequest {
  const grantType = fieldsOf(request)['grant_type']
  return {
    method: request.method,
    path: request.url.replace(/\?.*$/, ''),
    inBody: Object.keys(request.body ?? {}),
    inUrl: Object.keys(request.query as Fields),
    ...(grantType !== undefined && { grantType }),
    ...(portal !== undefined && { memberId: portal.memberId })
  }
}

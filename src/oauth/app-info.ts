import { endpointOf, nonsense, readRefusal, scopeOf, textOf, userIdOf } from './answer.ts'
import type { OAuthRefusal } from './error-class.ts'
import { isObject } from '../validation.ts'
import { type OAuthAnswer, type OAuthRequestOptions, postForm } from './request.ts'

/** What the OAuth server says of an access token and of the portal that it was made for. */
export interface AppInfo {
  status: 'ok'
  /** App that the token was made for. */
  clientId: string
  memberId: string
  domain: string
  /** REST base of the portal, ends with `/rest/`. */
  clientEndpoint: string
  scope: string[]
  /** `L` local, `F` free, `S` subscription, `D` demo, `T` trial, `P` paid; others may come. */
  appStatus?: string
  version?: string
  /** User whom the token stands for. */
  userId?: number
  /** `false` until an app with an install page called `installFinish`. */
  installed?: boolean
  /** End of the access token, ms since the epoch. */
  expiresAt?: number
}

/**
 * Asks an OAuth server whom an access token belongs to: `app.info` of the server, not the method of that name which a portal has.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE when the server cannot tell now, or its answer lacks what identifies the portal
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/oauth/simple-way.md
 */
export async function askAppInfo (origin: string, accessToken: string, limits?: OAuthRequestOptions): Promise<AppInfo | OAuthRefusal> {
  const answer = await postForm(`${origin}/rest/app.info/`, { auth: accessToken }, limits)
  const refusal = readRefusal(answer)
  if (refusal === undefined) return readAppInfo(answer)
  // Here it is about the token: the request names no client.
  return refusal.error === 'invalid_client' ? { ...refusal, errorClass: 'revoked' } : refusal
}

function readAppInfo (answer: OAuthAnswer): AppInfo {
  const { result } = answer.body
  if (!isObject(result) || !isObject(result['install'])) throw nonsense(answer, 'result')
  const { install } = result
  const clientId = textOf(result['client_id'])
  const memberId = textOf(install['member_id'])
  const endpoint = endpointOf(install['client_endpoint'])
  if (clientId === undefined) throw nonsense(answer, 'client_id')
  if (memberId === undefined) throw nonsense(answer, 'member_id')
  if (endpoint === undefined) throw nonsense(answer, 'client_endpoint')
  return {
    status: 'ok',
    clientId,
    memberId,
    domain: textOf(install['domain']) ?? endpoint.host,
    clientEndpoint: endpoint.href,
    scope: scopeOf(result['scope']),
    ...readDetails(result, install)
  }
}

function readDetails (result: Record<string, unknown>, install: Record<string, unknown>): Partial<AppInfo> {
  const details: Partial<AppInfo> = {}
  const { status, version, installed } = install
  const userId = userIdOf(result['user_id'])
  const expiresAt = Date.parse(textOf(result['expires']) ?? '')
  if (typeof status === 'string') details.appStatus = status
  if (typeof version === 'string' || typeof version === 'number') details.version = String(version)
  if (userId !== undefined) details.userId = userId
  if (typeof installed === 'boolean') details.installed = installed
  if (!Number.isNaN(expiresAt)) details.expiresAt = expiresAt
  return details
}

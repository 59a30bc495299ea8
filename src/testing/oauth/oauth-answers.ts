import type { PortalState, SimulatedPair, TokenRegistry } from '../tokens.ts'

/** HTTP status, body and additional headers. */
export type Answer = [status: number, body: unknown, headers?: Record<string, string>]

const TOKEN_FORM = /^[0-9a-f]{70}$/

/** Implements `app.info` of the OAuth server. */
export function answerAppInfo (tokens: TokenRegistry, fields: Record<string, string>): Answer {
  const token = fields['auth'] ?? ''
  if (!TOKEN_FORM.test(token)) return refuse(401, 'NO_AUTH_FOUND', 'Wrong authorization data')
  const pair = tokens.byAccess(token)
  const gone = pair && refusePortal(pair)
  if (gone !== undefined) return gone
  if (pair?.alive !== true) return refuse(400, 'invalid_client', 'Invalid client')
  if (pair.expiresAt <= Date.now()) return refuse(401, 'expired_token', 'The access token provided has expired.')
  return [200, { result: describeToken(pair), time: { start: Date.now() / 1000, duration: 0 } }]
}

/** Implements the token endpoint with the grant `refresh_token`. Credentials of the app are checked before the grant. */
export function answerToken (tokens: TokenRegistry, fields: Record<string, string>, origin: string): Answer {
  const secret = tokens.apps.get(fields['client_id'] ?? '')
  if (secret === undefined) return refuse(200, 'wrong_client', 'Wrong client')
  if (secret !== fields['client_secret']) return refuse(400, 'invalid_client', 'Invalid client')
  if (fields['grant_type'] !== 'refresh_token') return refuse(400, 'invalid_request', 'Unsupported grant type')
  const token = fields['refresh_token'] ?? ''
  if (token === '') return refuse(400, 'invalid_request', 'No "refresh_token" parameter found')
  const pair = tokens.byRefresh(token)
  if (pair === undefined || pair.clientId !== fields['client_id']) return refuse(400, 'invalid_grant', 'Invalid grant')
  const gone = refusePortal(pair)
  if (gone !== undefined) return gone
  if (!pair.alive) return refuse(400, 'invalid_grant', 'Invalid grant')
  return [200, describePair(tokens.rotate(pair), origin)]
}

/** Returns the fields of a pair under Bitrix24's names, as both the portal and the OAuth server send them. */
export function describePair (pair: SimulatedPair, origin: string): Record<string, unknown> {
  const { portal, accessToken, refreshToken, userId } = pair
  const expires = Math.floor(pair.expiresAt / 1000)
  return {
    access_token: accessToken,
    expires,
    expires_in: 3600,
    scope: portal.scope.join(','),
    domain: new URL(origin).host,
    server_endpoint: `${origin}/rest/`,
    status: portal.status,
    client_endpoint: portal.clientEndpoint,
    member_id: portal.memberId,
    user_id: userId,
    refresh_token: refreshToken
  }
}

function describeToken ({ portal, clientId, userId, expiresAt }: SimulatedPair): object {
  const scope = portal.scope.join(',')
  return { client_id: clientId, scope, expires: new Date(expiresAt).toISOString(), install: describeInstall(portal, scope), user_id: userId }
}

function describeInstall (portal: PortalState, scope: string): object {
  return {
    installed: portal.installed,
    version: portal.version,
    status: portal.status,
    scope,
    domain: portal.domain,
    uri: new URL(portal.clientEndpoint).origin,
    client_endpoint: portal.clientEndpoint,
    member_id: portal.memberId,
    member_type: 'portal'
  }
}

function refusePortal ({ portal, clientId }: SimulatedPair): Answer | undefined {
  if (portal.deleted) return refuse(410, 'PORTAL_DELETED', 'Portal was deleted')
  if (portal.removedApps.has(clientId)) return refuse(401, 'NOT_INSTALLED', 'Application not installed')
  return portal.paid ? undefined : refuse(401, 'PAYMENT_REQUIRED', 'Payment required')
}

function refuse (status: number, error: string, description: string): Answer {
  return [status, { error, error_description: description }]
}

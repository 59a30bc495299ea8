import { FST_B24_APP_KEYS } from '../../errors.ts'
import type { AccessTransition } from '../../installs/access-transitions.ts'
import type { Install } from '../../installs/install.ts'
import { fetchAppInfo } from '../../oauth/oauth-server.ts'
import { unavailable } from '../../oauth/request.ts'
import type { HttpDispatcher } from '../../http-dispatcher.ts'
import type { AccessRecord } from './access-record.ts'

export interface LocateParts {
  record: AccessRecord
  oauth: { clientId: string, allowedServers: readonly string[], dispatcher?: HttpDispatcher | undefined }
  signal: AbortSignal
}

const TIMEOUT_MS = 3_000
const PATIENCE_MS = 3_000

/**
 * Asks the OAuth server where a portal is now, and keeps the answer. What the portal itself, or who took over its old
 * address, says of it is not believed.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE when the server does not tell, FST_B24_APP_KEYS, FST_B24_STORE_UNAVAILABLE
 */
export async function locatePortal (install: Install, accessToken: string, { record, oauth, signal }: LocateParts): Promise<AccessTransition> {
  const { memberId, oauthServer } = install
  const origin = allowedServer(oauthServer, oauth.allowedServers)
  const info = await fetchAppInfo(origin, accessToken, { timeoutMs: TIMEOUT_MS, signal, dispatcher: oauth.dispatcher })
  if (info.status === 'refused') throw unavailable(info.error)
  if (info.memberId !== memberId || info.clientId !== oauth.clientId) throw unavailable('an answer about another portal')
  const { clientEndpoint, domain } = info
  return await record.write(memberId, { type: 'located', clientEndpoint, domain }, { patienceMs: PATIENCE_MS, signal })
}

/** A server that was allowed when the portal installed may be no more. @throws FST_B24_APP_KEYS */
export function allowedServer (origin: string, allowed: readonly string[]): string {
  if (allowed.includes(origin)) return origin
  throw new FST_B24_APP_KEYS(`${origin} is not among the option oauthServers`)
}

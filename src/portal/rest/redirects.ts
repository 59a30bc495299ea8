import type { Recovery } from './classify-response.ts'
import type { PortalAccess } from '../tokens/access-state.ts'
import type { Tokens } from '../tokens/tokens.ts'

interface PostedTo {
  /** Ends with `/rest/`. */
  clientEndpoint: string
  /** Method and query. */
  path: string
}

/**
 * Returns the REST base a redirect leads to, if a token may be sent there: https on the same host, or another path of the same origin.
 * `undefined` otherwise: another host, https to http, not a REST path.
 */
export function redirectTarget ({ clientEndpoint, path }: PostedTo, location: string | undefined): string | undefined {
  const url = clientEndpoint + path
  if (location === undefined || !URL.canParse(location, url)) return undefined
  const [from, to] = [new URL(url), new URL(location, url)]
  const isSame = to.origin === from.origin || (to.protocol === 'https:' && bareHost(to) === bareHost(from))
  if (!isSame || to.username !== '' || to.password !== '') return undefined
  const base = baseOf(to, path.replace(/[?#].*$/s, ''))
  return base === clientEndpoint ? undefined : base
}

function baseOf ({ origin, pathname }: URL, method: string): string | undefined {
  const path = pathname.replace(/\/+$/, '').replace(/\.json$/i, '')
  const before = method.replace(/\/+$/, '').replace(/\.json$/i, '')
  if (!path.toLowerCase().endsWith(`/rest/${before}`.toLowerCase())) return undefined
  return origin + path.slice(0, path.length - before.length)
}

function bareHost ({ hostname }: URL): string {
  return hostname.replace(/\.$/, '')
}

export type RedirectTokens = Pick<Tokens, 'renew' | 'locate' | 'move'>

/**
 * Resolves the new address of a portal that redirected a call to `path`. An upgrade to https on the same host is trusted; for anything else the
 * OAuth server is asked first, because it knows renames.
 *
 * @throws the error of the redirect if it must not be followed, and as `Tokens.locate`
 */
export async function resolveRedirect (tokens: RedirectTokens, { location, error }: Recovery & { type: 'redirect' }, access: PortalAccess, path: string): Promise<PortalAccess> {
  const { clientEndpoint } = access
  const target = redirectTarget({ clientEndpoint, path }, location)
  if (target?.startsWith('https:') === true && clientEndpoint.startsWith('http:')) return await tokens.move(access, target)
  const located = await tokens.locate(access).catch(async () => await locateAgain(tokens, access))
  if (located.clientEndpoint !== clientEndpoint) return located
  if (target === undefined) throw error
  return await tokens.move(located, target)
}

/** Retries with a new token, for one that expired. The refresh itself may have updated the address. */
async function locateAgain (tokens: RedirectTokens, access: PortalAccess): Promise<PortalAccess> {
  const renewed = await tokens.renew(access)
  return renewed.clientEndpoint === access.clientEndpoint ? await tokens.locate(renewed) : renewed
}

import type { Recovery } from './classify-response.ts'
import type { PortalAccess } from '../tokens/portal-access.ts'
import type { Tokens } from '../tokens/tokens.ts'

/** What a call was posted to: the REST base of the portal, and the method behind it. */
interface PostedTo {
  /** Ends with `/rest/`. */
  clientEndpoint: string
  /** Method and query. */
  path: string
}

/**
 * The REST base that a redirect leads to, where it may be followed with a token: to https on the same host, or to another path of the very
 * same origin. `undefined` for all else: another host, from https to http, a page.
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
 * Where a portal is now that answered a call, `path`, with a redirect. That it takes https instead of http on the same host is its own word;
 * of all else its OAuth server is asked first, which knows renames.
 *
 * @throws the error of the redirect where it may not be followed, and as `Tokens.locate`
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

/** The OAuth server answers no token whose hour is over. It tells the address with a new one, unless that was made before the portal moved. */
async function locateAgain (tokens: RedirectTokens, access: PortalAccess): Promise<PortalAccess> {
  const renewed = await tokens.renew(access)
  return renewed.clientEndpoint === access.clientEndpoint ? await tokens.locate(renewed) : renewed
}

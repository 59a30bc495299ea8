import type { PortalAccess } from '../tokens/portal-access.ts'
import type { Tokens } from '../tokens/tokens.ts'
import type { Recovery } from './classify-response.ts'
import { redirectTarget } from './redirect-target.ts'

export type RedirectTokens = Pick<Tokens, 'renew' | 'locate' | 'move'>

/**
 * Where a portal is now that answered a call, `path`, with a redirect. That it takes https instead of http on the same host is its own word;
 * of all else its OAuth server is asked first, which knows renames.
 *
 * @throws the error of the redirect where it may not be followed, and as `Tokens.locate`
 */
export async function followRedirect (tokens: RedirectTokens, { location, error }: Recovery & { type: 'redirect' }, access: PortalAccess, path: string): Promise<PortalAccess> {
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

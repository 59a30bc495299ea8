/** What a call was posted to: the REST base of the portal, and the method behind it. */
export interface PostedTo {
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

import { hash } from 'node:crypto'
import type { Install, KnownSubscription } from '../../installs/install.ts'
import type { WantedEvent } from './wanted-events.ts'

/** Addresses that are remembered of a portal: more stand for a server that changes its address at each start. */
const MOST_URLS = 10

/** Short digest of what is wanted: the same however it is ordered. */
export function digestOf (wanted: readonly WantedEvent[]): string {
  return hash('sha256', JSON.stringify(wanted.map(event => JSON.stringify(event)).sort()), 'base64url').slice(0, 16)
}

/** Returns whether a portal was last subscribed to just that, at just that address. */
export function isInSync ({ subscribed }: Pick<Install, 'subscribed'>, handlerUrl: string, wanted: string): boolean {
  return subscribed?.wanted === wanted && subscribed.urls.length === 1 && subscribed.urls[0] === handlerUrl
}

/** The record before anything is bound to an address: whoever syncs next has to know of it. The very one where it knows. */
export function withUrl (install: Install, handlerUrl: string): Install {
  const { urls, ...others } = install.subscribed ?? { urls: [], wanted: '' }
  if (urls[0] === handlerUrl) return install
  return { ...install, subscribed: { ...others, urls: [handlerUrl, ...urls.filter(url => url !== handlerUrl)].slice(0, MOST_URLS) } }
}

/** The record after a sync that came to its end. */
export function withSubscription (install: Install, subscribed: KnownSubscription): Install {
  return JSON.stringify(install.subscribed) === JSON.stringify(subscribed) ? install : { ...install, subscribed }
}

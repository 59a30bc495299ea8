import { check, isText } from '../../validation.ts'
import { isPrivateAddress, type AllowedNetworks } from '../rest/private-address.ts'

/** Longest address that a portal keeps. */
const LONGEST_URL = 255

/**
 * Checks where Bitrix24 is to reach this server; `prefix` is the path of the routes, that of the scope before it.
 *
 * @throws FST_B24_INVALID_OPTIONS for a `publicUrl` that no portal would take, or that portals could not reach
 */
export function checkPublicUrl (publicUrl: string, prefix: string, allowPrivateNetworks: AllowedNetworks): void {
  check(isText(publicUrl) && URL.canParse(publicUrl), 'publicUrl must be a URL')
  const { protocol, origin, pathname, search, hash, username } = new URL(publicUrl)
  check(/^https?:$/.test(protocol), 'publicUrl must begin with https://')
  check(search === '' && hash === '' && username === '', 'publicUrl must have no user, query or fragment')
  check(allowPrivateNetworks !== false || (protocol === 'https:' && !isPrivateAddress(publicUrl)),
    'publicUrl must be an https address that the internet reaches; http, loopback and private addresses need allowPrivateNetworks')
  const path = pathname.replace(/\/+$/, '')
  const before = withoutEnd(path.replace(/\/(events|install)$/, ''), prefix)
  check(path === before, `publicUrl has the path of the routes, which comes behind it by itself: give '${origin}${before}'`)
  check(handlerUrlOf(publicUrl, prefix).length <= LONGEST_URL, `publicUrl is too long: portals keep ${LONGEST_URL} characters of '${prefix}/events' behind it`)
}

/** Where portals post events, with a `publicUrl` that was checked. */
export function handlerUrlOf (publicUrl: string, prefix: string): string {
  return `${publicUrl.replace(/\/+$/, '')}${prefix}/events`
}

function withoutEnd (path: string, end: string): string {
  return path.endsWith(end) ? path.slice(0, path.length - end.length) : path
}

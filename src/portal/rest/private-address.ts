import { BlockList, isIP, SocketAddress } from 'node:net'

const PRIVATE = new BlockList()
for (const [network, prefix] of [
  ['0.0.0.0', 8], ['10.0.0.0', 8], ['100.64.0.0', 10], ['127.0.0.0', 8], ['169.254.0.0', 16], ['172.16.0.0', 12], ['192.0.0.0', 24],
  ['192.168.0.0', 16], ['198.18.0.0', 15], ['224.0.0.0', 4], ['240.0.0.0', 4]
] as const) PRIVATE.addSubnet(network, prefix, 'ipv4')
for (const [network, prefix] of [
  ['::', 127], ['64:ff9b::', 96], ['64:ff9b:1::', 48], ['2002::', 16], ['fc00::', 7], ['fe80::', 10], ['fec0::', 10], ['ff00::', 8]
] as const) PRIVATE.addSubnet(network, prefix, 'ipv6')

/** How a server that has IPv6 alone sees an address of IPv4 (RFC 6052), in the last 32 bits. */
const TRANSLATED = /^64:ff9b::(?:(?:([\da-f]{1,4}):)?([\da-f]{1,4}))?$/

/**
 * Tells whether a URL names an address inside the server's own networks: loopback, private, link-local. Names are judged
 * by what they say, not by what they resolve to.
 */
export function isPrivateAddress (url: string): boolean {
  const host = new URL(url).hostname.replace(/^\[|[\].]$/g, '')
  if (isIP(host) === 0) return !host.includes('.') || /(^|\.)(localhost|local|lan|internal|home\.arpa)$/.test(host)
  return isPrivate(host)
}

/** Tells whether what a name resolved to is an address inside the server's own networks, or no address at all. */
export function isPrivateResolved (address: string): boolean {
  const ip = address.replace(/%.*$/, '')
  const family = isIP(ip)
  return family === 0 || isPrivate(family === 6 ? translated(ip) : ip)
}

function isPrivate (ip: string): boolean {
  return PRIVATE.check(ip, isIP(ip) === 4 ? 'ipv4' : 'ipv6')
}

/** The address of IPv4 behind one of IPv6, or that one itself. */
function translated (ip: string): string {
  const { address } = new SocketAddress({ address: ip, family: 'ipv6' })
  const [isTranslated, high = '0', low = '0'] = TRANSLATED.exec(address) ?? []
  if (isTranslated === undefined) return address
  return [high, low].flatMap(group => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]).join('.')
}

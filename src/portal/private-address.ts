import { BlockList, isIP } from 'node:net'

const PRIVATE = new BlockList()
for (const [network, prefix] of [
  ['0.0.0.0', 8], ['10.0.0.0', 8], ['100.64.0.0', 10], ['127.0.0.0', 8], ['169.254.0.0', 16], ['172.16.0.0', 12], ['192.0.0.0', 24],
  ['192.168.0.0', 16], ['198.18.0.0', 15], ['224.0.0.0', 4], ['240.0.0.0', 4]
] as const) PRIVATE.addSubnet(network, prefix, 'ipv4')
for (const [network, prefix] of [
  ['::', 127], ['64:ff9b::', 96], ['64:ff9b:1::', 48], ['2002::', 16], ['fc00::', 7], ['fe80::', 10], ['fec0::', 10], ['ff00::', 8]
] as const) PRIVATE.addSubnet(network, prefix, 'ipv6')

/**
 * Tells whether a URL names an address inside the server's own networks: loopback, private, link-local. Names are judged
 * by what they say, not by what they resolve to.
 */
export function isPrivateAddress (url: string): boolean {
  const host = new URL(url).hostname.replace(/^\[|[\].]$/g, '')
  const family = isIP(host)
  if (family === 0) return !host.includes('.') || /(^|\.)(localhost|local|lan|internal|home\.arpa)$/.test(host)
  return PRIVATE.check(host, family === 4 ? 'ipv4' : 'ipv6')
}

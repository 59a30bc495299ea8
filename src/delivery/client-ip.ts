import { isIPv4, isIPv6, SocketAddress } from 'node:net'

/**
 * Returns the networks of an IP address, widest first: /48, /56 and /64 of an IPv6 address (one sender may own a whole /64), /24 and the address
 * itself for IPv4. IPv4-mapped IPv6 (`::ffff:192.0.2.1`) is treated as IPv4. Any other text is returned as its only network.
 */
export function networksOf (ip: string): string[] {
  if (isIPv4(ip)) return [ip.replace(/\d+$/, '0/24'), ip]
  if (!isIPv6(ip)) return [ip]
  const { address } = new SocketAddress({ address: ip.replace(/%.*/, ''), family: 'ipv6' })
  const mapped = /^::ffff:(\d+\..*)/.exec(address)?.[1]
  if (mapped !== undefined) return networksOf(mapped)
  const [a, b, c, d = '0'] = groupsOf(address)
  const start = `${a}:${b}:${c}`
  return [`${start}::/48`, `${start}:${(Number.parseInt(d, 16) & 0xff00).toString(16)}::/56`, `${start}:${d}::/64`]
}

/** Returns the smallest network of a sender: an IPv4 address, or the /64 of an IPv6 address. */
export function ipPrefix (ip: string): string {
  return networksOf(ip).at(-1) as string
}

/** Expands `::`. A dotted end counts as one group too few, but only zeros precede it. */
function groupsOf (address: string): string[] {
  const [left = [], right = []] = address.split('::').map(part => part === '' ? [] : part.split(':'))
  const zeros = Array<string>(8 - left.length - right.length).fill('0')
  return [...left, ...zeros, ...right]
}

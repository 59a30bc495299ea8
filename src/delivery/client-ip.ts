import { isIPv4, isIPv6, SocketAddress } from 'node:net'

/**
 * Networks that count for the sender at an IP address, the widest first: of IPv6 the /48, /56 and /64 (who has one address of a /64 has them
 * all), of IPv4 the /24 and the address. IPv4 that is mapped into IPv6 (`::ffff:192.0.2.1`) counts as IPv4. Other text is a network of its own.
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

/** The smallest network that counts for a sender: an IPv4 address, or the /64 of an IPv6 address. */
export function ipPrefix (ip: string): string {
  return networksOf(ip).at(-1) as string
}

/** Writes out the zeros that `::` stands for. A dotted end counts as one group too few, all before it being zeros. */
function groupsOf (address: string): string[] {
  const [left = [], right = []] = address.split('::').map(part => part === '' ? [] : part.split(':'))
  const zeros = Array<string>(8 - left.length - right.length).fill('0')
  return [...left, ...zeros, ...right]
}

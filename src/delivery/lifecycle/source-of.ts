import { isIPv6, SocketAddress } from 'node:net'

/**
 * Names the sender that an IP address stands for: an IPv4 address itself, also where it is mapped into IPv6
 * (`::ffff:192.0.2.1`), and of an IPv6 address its /64, as `2001:db8:0:0`: who has one address of that has them all.
 * Text that is no IP address stays as it is.
 */
export function sourceOf (ip: string): string {
  if (!isIPv6(ip)) return ip
  const { address } = new SocketAddress({ address: ip.replace(/%.*/, ''), family: 'ipv6' })
  const mapped = /^::ffff:(\d+\..*)/.exec(address)?.[1]
  return mapped ?? groupsOf(address).slice(0, 4).join(':')
}

/** Writes out the zeros that `::` stands for. A dotted end counts as one group too few, all before it being zeros. */
function groupsOf (address: string): string[] {
  const [left = [], right = []] = address.split('::').map(part => part === '' ? [] : part.split(':'))
  const zeros = Array<string>(8 - left.length - right.length).fill('0')
  return [...left, ...zeros, ...right]
}

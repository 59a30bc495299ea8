import { lookup as dnsLookup, type LookupAddress } from 'node:dns'
import { BlockList, isIP, isIPv4, type LookupFunction, SocketAddress } from 'node:net'
import { FST_B24_INSECURE_ADDRESS, FST_B24_PRIVATE_ADDRESS } from '../../errors.ts'

/** `true` for all, or a list of networks such as `10.0.0.0/8` and single addresses. */
export type AllowedNetworks = boolean | readonly string[]

/**
 * Addresses outside the public internet.
 *
 * @see https://www.iana.org/assignments/iana-ipv4-special-registry
 * @see https://www.iana.org/assignments/iana-ipv6-special-registry
 */
const NON_PUBLIC = listOf([
  '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24', '192.0.2.0/24', '192.31.196.0/24',
  '192.52.193.0/24', '192.88.99.0/24', '192.168.0.0/16', '192.175.48.0/24', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/4',
  '240.0.0.0/4',
  // Azure's platform endpoint.
  '168.63.129.16',
  '2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20'
])
/** Contains all public IPv6 addresses. */
const PUBLIC_6 = listOf(['2000::/3'])
/** Blocked regardless of options: link-local addresses and cloud metadata services. */
const ALWAYS_BLOCKED = listOf([
  '169.254.0.0/16', 'fe80::/10', '168.63.129.16', '100.100.100.200', '192.0.0.192', 'fd00:ec2::/32', 'fd20:ce::254', 'fd00:42::42'
])
const METADATA_NAMES = /^(metadata(\.google\.internal|\.azure\.internal|\.goog)?|instance-data(\.ec2\.internal)?)$/
const MAX_CACHED = 1_000
const LOCAL_NAMES = /(^|\.)(localhost|local|lan|internal|home\.arpa)$/

/** Prevents server-side request forgery: decides which addresses requests and tokens may be sent to. */
export class AddressGuard {
  readonly #allowed: boolean
  readonly #networks: BlockList | undefined
  /** Cache: calls go to the same few hosts. */
  readonly #known = new Map<string, { isBlocked: boolean, allowsPlainHttp: boolean }>()

  constructor (allowed: AllowedNetworks) {
    this.#allowed = allowed === true
    this.#networks = typeof allowed === 'boolean' || allowed.length === 0 ? undefined : listOf(allowed)
  }

  /** Returns whether requests to a URL are forbidden. Judges host names as such, without resolving them. */
  blocksUrl (url: string): boolean {
    const host = hostOf(url)
    if (isIP(host) !== 0) return this.#classify(host).isBlocked
    return METADATA_NAMES.test(host) || (isLocalName(host) && !this.#allowed && this.#networks === undefined)
  }

  /** Returns whether connections to a resolved address are forbidden; `true` for anything but an IP address. */
  blocksIp (address: string): boolean {
    const ip = withoutZone(address)
    return isIP(ip) === 0 || isAlwaysBlocked(ip) || (isNonPublic(ip) && !this.#allows(ip))
  }

  /** Returns whether an address is in an allowed private network, where tokens may be sent without https. */
  allowsPlainHttpTo (address: string): boolean {
    const ip = withoutZone(address)
    return isIP(ip) !== 0 && !isAlwaysBlocked(ip) && isNonPublic(ip) && this.#allows(ip)
  }

  /** Same as `allowsPlainHttpTo`, for a URL; `undefined` if its host name must be resolved first. */
  allowsPlainHttp (url: string): boolean | undefined {
    if (!this.#allowed && this.#networks === undefined) return false
    const host = hostOf(url)
    return isIP(host) === 0 ? undefined : this.#classify(host).allowsPlainHttp
  }

  #classify (ip: string): { isBlocked: boolean, allowsPlainHttp: boolean } {
    const known = this.#known.get(ip)
    if (known !== undefined) return known
    const classified = { isBlocked: this.blocksIp(ip), allowsPlainHttp: this.allowsPlainHttpTo(ip) }
    if (this.#known.size >= MAX_CACHED) this.#known.clear()
    this.#known.set(ip, classified)
    return classified
  }

  #allows (ip: string): boolean {
    return this.#allowed || (this.#networks !== undefined && [ip, embeddedIpv4(ip)].some(each => each !== undefined && isIn(this.#networks as BlockList, each)))
  }
}

const STRICT = new AddressGuard(false)

/** Returns whether a URL names an address in a private network: loopback, private, link-local. */
export function isPrivateAddress (url: string): boolean {
  return STRICT.blocksUrl(url)
}

/** Returns whether a string is an IP address or a network such as `10.0.0.0/8`. */
export function isNetwork (text: unknown): text is string {
  if (typeof text !== 'string') return false
  const [ip = '', prefix, ...more] = text.split('/')
  const bits = isIPv4(ip) ? 32 : 128
  return isIP(ip) !== 0 && !ip.includes('%') && more.length === 0 && (prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits))
}

/** Returns whether a host name cannot be public. */
function isLocalName (host: string): boolean {
  return !host.includes('.') || LOCAL_NAMES.test(host)
}

function hostOf (url: string): string {
  return new URL(url).hostname.replace(/^\[|[\].]$/g, '')
}

function listOf (networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [ip = '', prefix] = network.split('/')
    const family = isIPv4(ip) ? 'ipv4' : 'ipv6'
    if (prefix === undefined) list.addAddress(ip, family)
    else list.addSubnet(ip, Number(prefix), family)
  }
  return list
}

function isIn (list: BlockList, ip: string): boolean {
  return list.check(ip, isIPv4(ip) ? 'ipv4' : 'ipv6')
}

function isAlwaysBlocked (ip: string): boolean {
  const inner = embeddedIpv4(ip)
  return isIn(ALWAYS_BLOCKED, ip) || (inner !== undefined && isIn(ALWAYS_BLOCKED, inner))
}

function isNonPublic (ip: string): boolean {
  if (isIPv4(ip)) return isIn(NON_PUBLIC, ip)
  const groups = groupsOf(ip)
  // IPv4-mapped, or translated by NAT64 (RFC 6052).
  if (isMapped(groups) || isTranslated(groups)) return isIn(NON_PUBLIC, lastOf(groups))
  return !isIn(PUBLIC_6, ip) || isIn(NON_PUBLIC, ip)
}

/** Extracts the IPv4 address from an IPv6 one: mapped, compatible, NAT64 or 6to4. */
function embeddedIpv4 (ip: string): string | undefined {
  if (isIPv4(ip)) return undefined
  const groups = groupsOf(ip)
  if (groups[0] === 0x2002) return dotted(groups[1] as number, groups[2] as number)
  return isMapped(groups) || isTranslated(groups) || groups.slice(0, 6).every(group => group === 0) ? lastOf(groups) : undefined
}

function isMapped (groups: readonly number[]): boolean {
  return groups[5] === 0xffff && groups.slice(0, 5).every(group => group === 0)
}

function isTranslated (groups: readonly number[]): boolean {
  return groups[0] === 0x64 && groups[1] === 0xff9b && groups.slice(2, 6).every(group => group === 0)
}

function lastOf (groups: readonly number[]): string {
  return dotted(groups[6] as number, groups[7] as number)
}

function dotted (high: number, low: number): string {
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

/** Parses the eight groups of an IPv6 address. */
function groupsOf (ip: string): number[] {
  const [head = '', tail] = toHexGroups(ip).split('::')
  const parse = (text: string) => text === '' ? [] : text.split(':').map(group => Number.parseInt(group, 16))
  const [left, right] = [parse(head), parse(tail ?? '')]
  return tail === undefined ? left : [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right]
}

/** Converts a dotted IPv4 suffix to toHexGroups groups. */
function toHexGroups (ip: string): string {
  const { address } = new SocketAddress({ address: ip, family: 'ipv6' })
  return address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, a, b, c, d) => `${(Number(a) << 8 | Number(b)).toString(16)}:${(Number(c) << 8 | Number(d)).toString(16)}`)
}

function withoutZone (address: string): string {
  return address.replace(/%.*$/, '')
}

/** Resolves a name to all its addresses, like `lookup` of node:dns. */
export type Resolve = (host: string, options: { all: true, family?: number, hints?: number }, done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void) => void

/** Error code of a connection refused because the address is private. */
export const PRIVATE_ADDRESS: string = new FST_B24_PRIVATE_ADDRESS().code
/** Error code of a connection refused because a token would leave private networks without https. */
export const INSECURE_ADDRESS: string = new FST_B24_INSECURE_ADDRESS().code

/** Creates the `lookup` for connections to public and allowed private addresses. */
export function publicLookup (guard: AddressGuard, resolve?: Resolve): LookupFunction {
  return filteredLookup(address => !guard.blocksIp(address), PRIVATE_ADDRESS, resolve)
}

/** Creates the `lookup` for connections to allowed private addresses only. */
export function privateLookup (guard: AddressGuard, resolve?: Resolve): LookupFunction {
  return filteredLookup(address => guard.allowsPlainHttpTo(address), INSECURE_ADDRESS, resolve)
}

/** Filters the very addresses the socket connects to, which prevents DNS rebinding. */
function filteredLookup (accepts: (address: string) => boolean, code: string, resolve: Resolve = dnsLookup): LookupFunction {
  return (host, { all, family, hints }, done) => {
    const options = { all: true as const, ...(typeof family === 'number' && { family }), ...(hints !== undefined && { hints }) }
    resolve(host, options, (error, addresses) => {
      if (error !== null) return done(error, [])
      const found = addresses.filter(({ address }) => accepts(address))
      const [first] = found
      if (first === undefined) return done(Object.assign(new Error('no allowed address'), { code }), [])
      if (all === true) done(null, found)
      else done(null, first.address, first.family)
    })
  }
}

import { lookup as dnsLookup, type LookupAddress } from 'node:dns'
import { BlockList, isIP, isIPv4, type LookupFunction, SocketAddress } from 'node:net'
import { FST_B24_INSECURE_ADDRESS, FST_B24_PRIVATE_ADDRESS } from '../../errors.ts'

/** `true`: all of them; or a list of networks, such as `10.0.0.0/8`, and of single addresses. */
export type AllowedNetworks = boolean | readonly string[]

/**
 * Addresses that are not of the public internet.
 *
 * @see https://www.iana.org/assignments/iana-ipv4-special-registry
 * @see https://www.iana.org/assignments/iana-ipv6-special-registry
 */
const SPECIAL = listOf([
  '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24', '192.0.2.0/24', '192.31.196.0/24',
  '192.52.193.0/24', '192.88.99.0/24', '192.168.0.0/16', '192.175.48.0/24', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/4',
  '240.0.0.0/4',
  // Azure's own server, in the middle of the public addresses.
  '168.63.129.16',
  '2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20'
])
/** Where all public addresses of IPv6 are. */
const PUBLIC_6 = listOf(['2000::/3'])
/** What no option allows: links, and the servers that tell a cloud's machines their credentials. */
const NEVER = listOf([
  '169.254.0.0/16', 'fe80::/10', '168.63.129.16', '100.100.100.200', '192.0.0.192', 'fd00:ec2::/32', 'fd20:ce::254', 'fd00:42::42'
])
const NEVER_NAMES = /^(metadata(\.google\.internal|\.azure\.internal|\.goog)?|instance-data(\.ec2\.internal)?)$/
const MAX_CACHED = 1_000
const OWN_NAMES = /(^|\.)(localhost|local|lan|internal|home\.arpa)$/

/** Keeps requests, and the tokens in them, away from where they do not belong. */
export class AddressGuard {
  readonly #allowed: boolean
  readonly #networks: BlockList | undefined
  /** Calls go to the same few hosts all the time. */
  readonly #known = new Map<string, { isRefused: boolean, isCovered: boolean }>()

  constructor (allowed: AllowedNetworks) {
    this.#allowed = allowed === true
    this.#networks = typeof allowed === 'boolean' || allowed.length === 0 ? undefined : listOf(allowed)
  }

  /** Whether a URL may not be asked at all. Names count by what they say, not by what they resolve to. */
  blocksUrl (url: string): boolean {
    const host = hostOf(url)
    if (isIP(host) !== 0) return this.#classify(host).isRefused
    return NEVER_NAMES.test(host) || (isOwnName(host) && !this.#allowed && this.#networks === undefined)
  }

  /** Whether an address that a name resolved to may not be connected to; what is no address may not. */
  blocksIp (address: string): boolean {
    const ip = bareIp(address)
    return isIP(ip) === 0 || isNever(ip) || (isSpecial(ip) && !this.#allows(ip))
  }

  /** Whether an address is one of the own networks, and allowed: tokens may go there without https. */
  allowsPlainHttpTo (address: string): boolean {
    const ip = bareIp(address)
    return isIP(ip) !== 0 && !isNever(ip) && isSpecial(ip) && this.#allows(ip)
  }

  /** As `allowsPlainHttpTo`; `undefined` where the URL has a name that must be resolved first. */
  allowsPlainHttp (url: string): boolean | undefined {
    if (!this.#allowed && this.#networks === undefined) return false
    const host = hostOf(url)
    return isIP(host) === 0 ? undefined : this.#classify(host).isCovered
  }

  #classify (ip: string): { isRefused: boolean, isCovered: boolean } {
    const known = this.#known.get(ip)
    if (known !== undefined) return known
    const classified = { isRefused: this.blocksIp(ip), isCovered: this.allowsPlainHttpTo(ip) }
    if (this.#known.size >= MAX_CACHED) this.#known.clear()
    this.#known.set(ip, classified)
    return classified
  }

  #allows (ip: string): boolean {
    return this.#allowed || (this.#networks !== undefined && [ip, embedded(ip)].some(each => each !== undefined && isIn(this.#networks as BlockList, each)))
  }
}

const CLOSED = new AddressGuard(false)

/** Returns whether a URL names an address inside the server's own networks: loopback, private, link-local. */
export function isPrivateAddress (url: string): boolean {
  return CLOSED.blocksUrl(url)
}

/** Returns whether a text is an address, or a network such as `10.0.0.0/8`. */
export function isNetwork (text: unknown): text is string {
  if (typeof text !== 'string') return false
  const [ip = '', prefix, ...more] = text.split('/')
  const bits = isIPv4(ip) ? 32 : 128
  return isIP(ip) !== 0 && !ip.includes('%') && more.length === 0 && (prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits))
}

/** Returns whether a host name is one that no public name ends like. */
function isOwnName (host: string): boolean {
  return !host.includes('.') || OWN_NAMES.test(host)
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

function isNever (ip: string): boolean {
  const inner = embedded(ip)
  return isIn(NEVER, ip) || (inner !== undefined && isIn(NEVER, inner))
}

function isSpecial (ip: string): boolean {
  if (isIPv4(ip)) return isIn(SPECIAL, ip)
  const groups = groupsOf(ip)
  // An address of IPv4, as this server or a translator (RFC 6052) writes it.
  if (isMapped(groups) || isTranslated(groups)) return isIn(SPECIAL, lastOf(groups))
  return !isIn(PUBLIC_6, ip) || isIn(SPECIAL, ip)
}

/** The address of IPv4 in one of IPv6: mapped, compatible, translated, or of a 6to4 router. */
function embedded (ip: string): string | undefined {
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

/** The eight numbers of an address of IPv6. */
function groupsOf (ip: string): number[] {
  const [head = '', tail] = hexadecimal(ip).split('::')
  const parse = (text: string) => text === '' ? [] : text.split(':').map(group => Number.parseInt(group, 16))
  const [left, right] = [parse(head), parse(tail ?? '')]
  return tail === undefined ? left : [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right]
}

/** Without the dots that the end of an address may be written with. */
function hexadecimal (ip: string): string {
  const { address } = new SocketAddress({ address: ip, family: 'ipv6' })
  return address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, a, b, c, d) => `${(Number(a) << 8 | Number(b)).toString(16)}:${(Number(c) << 8 | Number(d)).toString(16)}`)
}

function bareIp (address: string): string {
  return address.replace(/%.*$/, '')
}

/** Resolves a name to all its addresses, as `lookup` of node:dns does. */
export type Resolve = (host: string, options: { all: true, family?: number, hints?: number }, done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void) => void

/** Code of the error of a connection that would have gone to a private address. */
export const PRIVATE_ADDRESS: string = new FST_B24_PRIVATE_ADDRESS().code
/** Code of the error of a connection that would have carried a token in clear text out of the own networks. */
export const INSECURE_ADDRESS: string = new FST_B24_INSECURE_ADDRESS().code

/** Makes the `lookup` of connections that never reach a private address, but those that are allowed. */
export function publicLookup (guard: AddressGuard, resolve?: Resolve): LookupFunction {
  return filteredLookup(address => !guard.blocksIp(address), PRIVATE_ADDRESS, resolve)
}

/** Makes the `lookup` of connections that reach allowed addresses of the own networks alone. */
export function privateLookup (guard: AddressGuard, resolve?: Resolve): LookupFunction {
  return filteredLookup(address => guard.allowsPlainHttpTo(address), INSECURE_ADDRESS, resolve)
}

/** What it finds is what is connected to, so a name that resolves to something else a moment later gains nothing by it. */
function filteredLookup (accepts: (address: string) => boolean, code: string, resolve: Resolve = dnsLookup): LookupFunction {
  return (host, { all, family, hints }, done) => {
    const options = { all: true as const, ...(typeof family === 'number' && { family }), ...(hints !== undefined && { hints }) }
    resolve(host, options, (error, addresses) => {
      if (error !== null) return done(error, [])
      const found = addresses.filter(({ address }) => accepts(address))
      const [first] = found
      if (first === undefined) return done(Object.assign(new Error('no address that may be connected to'), { code }), [])
      if (all === true) done(null, found)
      else done(null, first.address, first.family)
    })
  }
}

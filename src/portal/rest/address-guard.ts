import { lookup as dnsLookup, type LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { FST_B24_INSECURE_ADDRESS, FST_B24_PRIVATE_ADDRESS } from '../../errors.ts'
import type { AddressGuard } from './private-address.ts'

/** Resolves a name to all its addresses, as `lookup` of node:dns does. */
export type Resolve = (host: string, options: { all: true, family?: number, hints?: number }, done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void) => void

/** Code of the error of a connection that would have gone to a private address. */
export const PRIVATE_ADDRESS: string = new FST_B24_PRIVATE_ADDRESS().code
/** Code of the error of a connection that would have carried a token in clear text out of the own networks. */
export const INSECURE_ADDRESS: string = new FST_B24_INSECURE_ADDRESS().code

/** Makes the `lookup` of connections that never reach a private address, but those that are allowed. */
export function publicLookup (guard: AddressGuard, resolve?: Resolve): LookupFunction {
  return filteredLookup(address => !guard.refusesIp(address), PRIVATE_ADDRESS, resolve)
}

/** Makes the `lookup` of connections that reach allowed addresses of the own networks alone. */
export function coveredLookup (guard: AddressGuard, resolve?: Resolve): LookupFunction {
  return filteredLookup(address => guard.coversIp(address), INSECURE_ADDRESS, resolve)
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

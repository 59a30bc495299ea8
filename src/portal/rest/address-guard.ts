import { lookup as dnsLookup, type LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { FST_B24_PRIVATE_ADDRESS } from '../../errors.ts'
import { isPrivateResolved } from './private-address.ts'

/** Resolves a name to all its addresses, as `lookup` of node:dns does. */
export type Resolve = (host: string, options: { all: true, family?: number, hints?: number }, done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void) => void

/** Code of the error of a connection that would have gone to a private address. */
export const PRIVATE_ADDRESS: string = new FST_B24_PRIVATE_ADDRESS().code

/**
 * Makes the `lookup` of connections that never reach a private address. What it finds is what is connected to, so a name that
 * resolves to something else a moment later gains nothing by it.
 */
export function publicLookup (resolve: Resolve = dnsLookup): LookupFunction {
  return (host, { all, family, hints }, done) => {
    const options = { all: true as const, ...(typeof family === 'number' && { family }), ...(hints !== undefined && { hints }) }
    resolve(host, options, (error, addresses) => {
      if (error !== null) return done(error, [])
      const found = addresses.filter(({ address }) => !isPrivateResolved(address))
      const [first] = found
      if (first === undefined) return done(Object.assign(new Error('a private address'), { code: PRIVATE_ADDRESS }), [])
      if (all === true) done(null, found)
      else done(null, first.address, first.family)
    })
  }
}

import type { Install, PairOwner, SealedPair, Suspension } from './install.ts'
import { keepPair } from './kept-pair.ts'

/** The pair that the OAuth server was asked about. What it answers counts only while that pair is still kept. */
interface Asked {
  owner: PairOwner
  generation: number
}

/** A pair was traded for a new one. */
export interface RefreshedFact extends Asked {
  type: 'refreshed'
  pair: SealedPair
  clientEndpoint: string
  /** What `clientEndpoint` says of the domain, taken where it is another than before. */
  domain: string
  scope: string[]
  status?: string | undefined
}

/** The refresh token of a pair is no good. */
export interface RevokedFact extends Asked {
  type: 'revoked'
}

/** The OAuth server makes no tokens for the portal. */
export interface RefusedFact extends Asked {
  type: 'refused'
  suspension: Suspension
}

/** The OAuth server named the address of the portal. */
export interface LocatedFact {
  type: 'located'
  clientEndpoint: string
  domain: string
}

/** What an OAuth server answered to the app, and not to a post. */
export type AccessFact = RefreshedFact | RevokedFact | RefusedFact | LocatedFact

/**
 * - `refreshed`, `suspended`, `still-suspended`, `located`: as the fact says
 * - `revoked`: the portal has another pair, which may be good
 * - `reauth-required`: it has none
 * - `stale`: it is about a pair that is kept no more, or there is nothing new in it
 */
export type AccessOutcome = 'refreshed' | 'revoked' | 'reauth-required' | 'suspended' | 'still-suspended' | 'located' | 'stale'

export interface AccessTransition {
  outcome: AccessOutcome
  /** Record to write; the very one that was given when there is nothing to write. */
  install: Install | undefined
}

/** Applies what an OAuth server answered to what is known of a portal. No I/O, no clock: `now` is ms since the epoch. */
export function applyAccessFact (known: Install | undefined, fact: AccessFact, now: number): AccessTransition {
  if (known === undefined || known.state === 'uninstalled') return { outcome: 'stale', install: known }
  if (fact.type === 'located') return applyLocated(known, fact, now)
  const pair = known[fact.owner]
  if (pair === undefined || (pair.generation ?? 0) !== fact.generation) return { outcome: 'stale', install: known }
  switch (fact.type) {
    case 'refreshed': return { outcome: 'refreshed', install: keepPair({ ...known, ...newsOf(known, fact) }, fact.owner, fact.pair, now) }
    case 'revoked': return applyRevoked(known, fact.owner, pair, now)
    case 'refused': return {
      outcome: known.state === 'suspended' ? 'still-suspended' : 'suspended',
      install: { ...known, state: 'suspended', suspension: fact.suspension, updatedAt: now }
    }
  }
}

/** A refresh of an older system may name no scope. */
function newsOf (known: Install, { clientEndpoint, domain, scope, status }: RefreshedFact): Partial<Install> {
  return {
    ...(clientEndpoint !== known.clientEndpoint && { clientEndpoint, domain }),
    ...(scope.length > 0 && { scope }),
    ...(status !== undefined && { status })
  }
}

function applyRevoked (known: Install, owner: PairOwner, pair: SealedPair, now: number): AccessTransition {
  if (pair.isDead === true) return { outcome: 'stale', install: known }
  const other = known[owner === 'installer' ? 'systemUser' : 'installer']
  const install: Install = { ...known, [owner]: { ...pair, isDead: true }, updatedAt: now }
  if (other !== undefined && other.isDead !== true) return { outcome: 'revoked', install }
  const { suspension, ...rest } = install
  return { outcome: 'reauth-required', install: { ...rest, state: 'reauth_required' } }
}

function applyLocated (known: Install, { clientEndpoint, domain }: LocatedFact, now: number): AccessTransition {
  if (clientEndpoint === known.clientEndpoint && domain === known.domain) return { outcome: 'stale', install: known }
  return { outcome: 'located', install: { ...known, clientEndpoint, domain, updatedAt: now } }
}

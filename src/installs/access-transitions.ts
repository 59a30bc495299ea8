import { TOKEN_GRACE_MS } from './application-token.ts'
import type { Install, PairOwner, SealedPair, Suspension, TokenDigest } from './install.ts'
import { storePair, reactivate, secondOf } from './token-pairs.ts'

/** The pair that the OAuth server was asked about, or the portal with. What is answered counts only while that pair is still kept. */
interface PairReference {
  owner: PairOwner
  generation: number
}

/** A pair was traded for a new one. */
export interface RefreshedFact extends PairReference {
  type: 'refreshed'
  pair: SealedPair
  /** Absent where the answer had none that can be used: the known one stays. */
  clientEndpoint?: string | undefined
  /** What `clientEndpoint` says of the domain, taken where it is another than before. */
  domain?: string | undefined
  scope: string[]
  status?: string | undefined
}

/** The refresh token of a pair is no good, or the portal refuses its user. */
export interface RevokedFact extends PairReference {
  type: 'revoked'
}

/** The OAuth server refuses to issue tokens for the portal, or the portal takes none. */
export interface RefusedFact extends PairReference {
  type: 'refused'
  suspension: Suspension
}

/** The portal took a token. */
export interface AnsweredFact extends PairReference {
  type: 'answered'
}

/** The OAuth server named the address of the portal. */
export interface LocatedFact {
  type: 'located'
  clientEndpoint: string
  domain: string
}

/** The portal redirected a call to another address of the same host. */
export interface MovedFact {
  type: 'moved'
  from: string
  clientEndpoint: string
}

/** What an OAuth server or a portal answered to the app, and not to a post. */
export type AccessFact = RefreshedFact | RevokedFact | RefusedFact | AnsweredFact | LocatedFact | MovedFact

/**
 * - `refreshed`, `suspended`, `still-suspended`, `located`: as the fact says
 * - `resumed`: the portal had refused the app, and does so no more
 * - `revoked`: the portal has another pair, which may be good
 * - `reauth-required`: it has none
 * - `stale`: it is about a pair that is kept no more, or there is nothing new in it
 */
export type AccessOutcome = 'refreshed' | 'revoked' | 'reauth-required' | 'suspended' | 'still-suspended' | 'resumed' | 'located' | 'stale'

export interface AccessTransition {
  outcome: AccessOutcome
  /** Record to write; the very one that was given when there is nothing to write. */
  install: Install | undefined
}

/** Applies what an OAuth server or the portal answered to what is known of a portal. No I/O, no clock: `now` is ms since the epoch. */
export function applyAccessFact (known: Install | undefined, fact: AccessFact, now: number): AccessTransition {
  if (known === undefined || known.state === 'uninstalled') return { outcome: 'stale', install: known }
  if (fact.type === 'located') return applyLocated(known, fact, now)
  if (fact.type === 'moved') return applyMoved(known, fact, now)
  const pair = known[fact.owner]
  if (pair === undefined || (pair.generation ?? 0) !== fact.generation) return { outcome: 'stale', install: known }
  if (fact.type === 'refreshed') return { outcome: 'refreshed', install: applyRefreshed(known, fact, now) }
  if (pair.isDead === true) return { outcome: 'stale', install: known }
  switch (fact.type) {
    case 'revoked': return applyRevoked(known, fact.owner, pair, now)
    case 'refused': return applyRefused(known, fact.suspension, now)
    case 'answered': return applyAnswered(known, now)
  }
}

/** A portal that refuses the app does so whatever tokens it is shown. */
function applyRefreshed (known: Install, fact: RefreshedFact, now: number): Install {
  const { suspension } = known
  const install = storePair({ ...known, ...newsOf(known, fact) }, fact.owner, fact.pair, now)
  return suspension?.by === 'portal' ? { ...install, state: 'suspended', suspension } : install
}

/** A refresh of an older system may name no scope. */
function newsOf (known: Install, { clientEndpoint, domain, scope, status }: RefreshedFact): Partial<Install> {
  return {
    ...(clientEndpoint !== undefined && domain !== undefined && isOtherAddress(known, clientEndpoint) && { clientEndpoint, domain }),
    ...(scope.length > 0 && { scope }),
    ...(status !== undefined && { status })
  }
}

function applyRevoked (known: Install, owner: PairOwner, pair: SealedPair, now: number): AccessTransition {
  const other = known[owner === 'installer' ? 'systemUser' : 'installer']
  const install: Install = { ...known, [owner]: { ...pair, isDead: true }, updatedAt: now }
  if (other !== undefined && other.isDead !== true) return { outcome: 'revoked', install }
  const { suspension, ...rest } = install
  return { outcome: 'reauth-required', install: { ...rest, state: 'reauth_required' } }
}

function applyRefused (known: Install, suspension: Suspension, now: number): AccessTransition {
  const { state, suspension: before } = known
  // Of many calls that get the same answer at once, one is enough to write it.
  if (before?.reason === suspension.reason && now < before.retryAt) return { outcome: 'still-suspended', install: known }
  return { outcome: state === 'suspended' ? 'still-suspended' : 'suspended', install: { ...known, state: 'suspended', suspension, updatedAt: now } }
}

function applyAnswered (known: Install, now: number): AccessTransition {
  if (known.suspension?.by !== 'portal') return { outcome: 'stale', install: known }
  return { outcome: 'resumed', install: { ...reactivate(known), updatedAt: now } }
}

function applyLocated (known: Install, { clientEndpoint, domain }: LocatedFact, now: number): AccessTransition {
  const isOther = isOtherAddress(known, clientEndpoint)
  if (!isOther && domain === known.domain) return { outcome: 'stale', install: known }
  return { outcome: 'located', install: { ...known, ...(isOther && { clientEndpoint }), domain, updatedAt: now } }
}

function applyMoved (known: Install, { from, clientEndpoint }: MovedFact, now: number): AccessTransition {
  if (known.clientEndpoint !== from) return { outcome: 'stale', install: known }
  return { outcome: 'located', install: { ...known, clientEndpoint, updatedAt: now } }
}

/** An OAuth server goes on telling http of a portal that was registered so, and has https since. */
function isOtherAddress ({ clientEndpoint: known }: Install, told: string): boolean {
  if (told === known) return false
  const [from, to] = [new URL(known), new URL(told)]
  return !(from.protocol === 'https:' && to.protocol === 'http:' && from.hostname === to.hostname)
}

/** What a verified event says of its portal beside its data. */
export interface AuthFact {
  /** Portal's time, Unix seconds. An event without it changes nothing: it may be an old one. */
  ts: number | undefined
  /** The token that verified it, which may be the one before the current one. */
  tokenDigest: TokenDigest | undefined
  /** Empty where the event names none. */
  scope: string[]
  status: string | undefined
}

/** Least time between two changes of the current token by events, in milliseconds: two tokens that are both in use must not cost a write for each event. */
const TOKEN_PAUSE_MS = 60 * 60 * 1000

/** The record after a verified event; `known` itself where the event says nothing new, or is not newer than what is known. No I/O, no clock. */
export function applyAuthFact (known: Install, event: AuthFact, now: number): Install {
  if (event.ts === undefined || known.state === 'uninstalled') return known
  const ts = secondOf(event.ts, now)
  if (ts <= Math.max(known.ts, known.seenTs ?? 0)) return known
  const next = { ...known, ...toPortalAccess(known, event), ...tokensOf(known, event, now) }
  const isNew = Object.keys(next).some(key => next[key as keyof Install] !== known[key as keyof Install])
  return isNew ? { ...next, seenTs: ts, updatedAt: now } : known
}

function toPortalAccess (known: Install, { scope, status }: AuthFact): Partial<Install> {
  const isOther = scope.length > 0 && [...scope].sort().join() !== [...known.scope].sort().join()
  return { ...(isOther && { scope }), ...(status !== undefined && { status }) }
}

/** A token before the current one that the portal still uses becomes the current one again: it must not lapse. */
function tokensOf ({ token, previousToken }: Install, { tokenDigest }: AuthFact, now: number): Partial<Install> {
  if (previousToken === undefined || tokenDigest !== previousToken.digest || now >= previousToken.expiresAt) return {}
  if (previousToken.expiresAt - now > TOKEN_GRACE_MS - TOKEN_PAUSE_MS) return {}
  return { token: previousToken.digest, previousToken: { digest: token, expiresAt: now + TOKEN_GRACE_MS } }
}

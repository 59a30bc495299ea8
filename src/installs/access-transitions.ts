import { TOKEN_GRACE_MS } from './application-token.ts'
import type { Install, PairOwner, EncryptedPair, Suspension, TokenDigest } from './install.ts'
import { storePair, reactivate, secondOf } from './token-pairs.ts'

/** The pair used for a request. The response is applied only while this pair is still stored. */
interface PairReference {
  owner: PairOwner
  generation: number
}

/** A pair was refreshed. */
export interface RefreshedFact extends PairReference {
  type: 'refreshed'
  pair: EncryptedPair
  /** Absent if the response had no usable one; the stored one is kept. */
  clientEndpoint?: string | undefined
  /** Domain of `clientEndpoint`, stored if that has changed. */
  domain?: string | undefined
  scope: string[]
  status?: string | undefined
}

/** The refresh token of a pair is invalid, or the portal rejects its user. */
export interface RevokedFact extends PairReference {
  type: 'revoked'
}

/** The OAuth server refuses to issue tokens for the portal, or the portal rejects them. */
export interface RefusedFact extends PairReference {
  type: 'refused'
  suspension: Suspension
}

/** The portal accepted a token. */
export interface AnsweredFact extends PairReference {
  type: 'answered'
}

/** The OAuth server returned the address of the portal. */
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

/** Result of a request of the app to an OAuth server or a portal. */
export type AccessFact = RefreshedFact | RevokedFact | RefusedFact | AnsweredFact | LocatedFact | MovedFact

/**
 * - `refreshed`, `suspended`, `still-suspended`, `located`: according to the fact
 * - `resumed`: the portal accepts the app again
 * - `revoked`: the pair is invalid, but the portal's other pair may be valid
 * - `reauth-required`: no valid pair is left
 * - `stale`: the pair is no longer stored, or nothing has changed
 */
export type AccessOutcome = 'refreshed' | 'revoked' | 'reauth-required' | 'suspended' | 'still-suspended' | 'resumed' | 'located' | 'stale'

export interface AccessTransition {
  outcome: AccessOutcome
  /** Record to write; identical to the given one if nothing has changed. */
  install: Install | undefined
}

/** Applies the result of a request to the record of a portal. Pure: no I/O, no clock; `now` is ms since the epoch. */
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

/** New tokens do not end a suspension by the portal itself. */
function applyRefreshed (known: Install, fact: RefreshedFact, now: number): Install {
  const { suspension } = known
  const install = storePair({ ...known, ...newsOf(known, fact) }, fact.owner, fact.pair, now)
  return suspension?.by === 'portal' ? { ...install, state: 'suspended', suspension } : install
}

/** The refresh response of an older system may have no scope. */
function newsOf (known: Install, { clientEndpoint, domain, scope, status }: RefreshedFact): Partial<Install> {
  return {
    ...(clientEndpoint !== undefined && domain !== undefined && isOtherAddress(known, clientEndpoint) && { clientEndpoint, domain }),
    ...(scope.length > 0 && { scope }),
    ...(status !== undefined && { status })
  }
}

function applyRevoked (known: Install, owner: PairOwner, pair: EncryptedPair, now: number): AccessTransition {
  const other = known[owner === 'installer' ? 'systemUser' : 'installer']
  const install: Install = { ...known, [owner]: { ...pair, isDead: true }, updatedAt: now }
  if (other !== undefined && other.isDead !== true) return { outcome: 'revoked', install }
  const { suspension, ...rest } = install
  return { outcome: 'reauth-required', install: { ...rest, state: 'reauth_required' } }
}

function applyRefused (known: Install, suspension: Suspension, now: number): AccessTransition {
  const { state, suspension: before } = known
  // Of many concurrent calls with the same response, only one writes it.
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

/** Returns whether an address differs. Ignores `http` for a stored `https`: an OAuth server keeps the scheme a portal was registered with. */
function isOtherAddress ({ clientEndpoint: known }: Install, received: string): boolean {
  if (received === known) return false
  const [from, to] = [new URL(known), new URL(received)]
  return !(from.protocol === 'https:' && to.protocol === 'http:' && from.hostname === to.hostname)
}

/** Fields of a verified event's `auth` that update the record. */
export interface AuthFact {
  /** Portal time, Unix seconds. Events without it may be old, so they are ignored. */
  ts: number | undefined
  /** The token that verified the event, possibly the previous one. */
  tokenDigest: TokenDigest | undefined
  /** Empty if the event has none. */
  scope: string[]
  status: string | undefined
}

/** Minimum time between token changes by events, in milliseconds, so that two tokens in use do not cause a write per event. */
const TOKEN_PAUSE_MS = 60 * 60 * 1000

/** Returns the record after a verified event, or `known` itself if the event is older or has nothing new. Pure: no I/O, no clock. */
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

/** Makes a previous token that the portal still uses current again, so that it does not expire. */
function tokensOf ({ token, previousToken }: Install, { tokenDigest }: AuthFact, now: number): Partial<Install> {
  if (previousToken === undefined || tokenDigest !== previousToken.digest || now >= previousToken.expiresAt) return {}
  if (previousToken.expiresAt - now > TOKEN_GRACE_MS - TOKEN_PAUSE_MS) return {}
  return { token: previousToken.digest, previousToken: { digest: token, expiresAt: now + TOKEN_GRACE_MS } }
}

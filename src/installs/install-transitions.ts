import { isDeepStrictEqual } from 'node:util'
import { rotateToken } from './application-token.ts'
import type { Install, SealedPair, TokenDigest } from './install.ts'
import { followsPage, hasPair, isAlive, isLater, isNewer, isOutdated, storePair, mayReplaceInstaller, reactivate, secondOf } from './token-pairs.ts'

/** What an OAuth server vouched for, beside the token that came with it. */
export interface VerifiedInstall {
  memberId: string
  domain: string
  clientEndpoint: string
  oauthServer: string
  tokenDigest: TokenDigest
  pair: SealedPair
  /** The pair came by a refresh, so that its refresh token is verified too: only such a pair takes the place of one that may be good. */
  isRefreshed?: boolean | undefined
  scope: string[]
  status?: string | undefined
  /** When it vouched, ms since the epoch; absent: now. A fact whose write failed is applied later. */
  verifiedAt?: number | undefined
}

interface Timed {
  /** Portal's time, Unix seconds; absent: now. */
  ts?: number | undefined
}

/** ONAPPINSTALL, verified. */
export interface InstalledFact extends Timed, VerifiedInstall {
  type: 'installed'
  version?: string | undefined
}

/** The install page, opened by an admin, verified. The same post comes whenever anybody opens the app. */
export interface OpenedFact extends VerifiedInstall {
  type: 'opened'
  /** When it was opened, by the app's clock, Unix seconds. */
  ts: number
  version?: string | undefined
  /** `false` until the page has called `installFinish`, once after an install and once after an update. */
  isFinished: boolean
}

/** ONAPPUPDATE. Without `verified` it only says which version runs. */
export interface UpdatedFact extends Timed {
  type: 'updated'
  version?: string | undefined
  verified?: VerifiedInstall | undefined
}

/** ONAPPUSERREADY, its pair verified. */
export interface UserReadyFact extends Timed {
  type: 'userReady'
  pair: SealedPair
  /** As of an install. */
  isRefreshed?: boolean | undefined
}

/** ONAPPUNINSTALL, proved by the token. */
export interface UninstalledFact extends Timed {
  type: 'uninstalled'
}

export type InstallFact = InstalledFact | OpenedFact | UpdatedFact | UserReadyFact | UninstalledFact

/**
 * - `installed`: the portal is new
 * - `reinstalled`: it was uninstalled, or installed again without a word of the uninstall
 * - `updated`, `user-ready`, `uninstalled`: as the fact says
 * - `repeated`: nothing new, though a newer pair may have been taken
 * - `stale`: older than what is known
 * - `unknown`: the portal has no install that this could change
 */
export type FactOutcome = 'installed' | 'reinstalled' | 'updated' | 'user-ready' | 'uninstalled' | 'repeated' | 'stale' | 'unknown'

export interface Transition {
  outcome: FactOutcome
  /** Record to write; the very one that was given when there is nothing to write. */
  install: Install | undefined
}

/**
 * Applies what happened at a portal to what is known of it. No I/O, no clock: `now` is ms since the epoch.
 *
 * The portal's `ts` orders, not the arrival. It is not signed, so it counts as `now` at most: a forged uninstall of next
 * year must not lock a portal out.
 */
export function applyFact (install: Install | undefined, fact: InstallFact, now: number): Transition {
  const ts = secondOf(fact.ts, now)
  switch (fact.type) {
    case 'installed': return applyInstall(install, fact, fact.version, ts, now)
    case 'opened': return applyOpened(install, fact, ts, now)
    case 'updated': return applyUpdate(install, fact, ts, now)
    case 'userReady': return applyUserReady(install, fact, now)
    case 'uninstalled': return applyUninstall(install, ts, now)
  }
}

function applyInstall (known: Install | undefined, fact: VerifiedInstall, version: string | undefined, ts: number, now: number): Transition {
  if (known === undefined) return { outcome: 'installed', install: newInstall(fact, version, ts, now) }
  if (known.state === 'uninstalled') return applyReinstall(known, fact, version, ts, now)
  const claimed = { tokenDigest: fact.tokenDigest, version, ts }
  if (followsPage(known, claimed, now)) return applyAfterPage(known, fact, version, ts, now)
  if (isOutdated(known, claimed, now)) return { outcome: 'stale', install: known }
  if (ts === known.ts && fact.tokenDigest === known.token) return repeatInstall(known, fact, now)
  // Not every system sends ONAPPUPDATE: there an update shows as an install of another version.
  const outcome = version !== undefined && known.version !== undefined && version !== known.version ? 'updated' : 'reinstalled'
  return { outcome, install: renew(known, fact, version, ts, now) }
}

/**
 * An install of which ONAPPINSTALL may tell too, before or after. So a portal that is known is never installed again by its
 * page; but an update may show nowhere else.
 */
function applyOpened (known: Install | undefined, fact: OpenedFact, ts: number, now: number): Transition {
  const { version } = fact
  if (known === undefined) return { outcome: 'installed', install: { ...newInstall(fact, version, ts, now), pageTs: ts } }
  if (known.state === 'uninstalled') return applyReinstall(known, fact, version, ts, now, { pageTs: ts })
  const isUpdate = !fact.isFinished && isLater(version, known.version)
  const opened: Install = { ...rotateToken(known, fact.tokenDigest, now), ...addresses(fact), ...(isUpdate && { version: version as string, pageTs: ts }) }
  // Another admin who only opens the app leaves the pair of the one who installed it.
  const isTaken = !hasPair(known) || (!fact.isFinished && fact.isRefreshed === true && isNewer(fact.pair, known.installer))
  const install = isTaken ? storePair(opened, 'installer', fact.pair, now) : changed(known, reactivate(opened), now)
  return { outcome: isUpdate ? 'updated' : 'repeated', install }
}

function applyReinstall (known: Install, fact: VerifiedInstall, version: string | undefined, ts: number, now: number, more: Pick<Install, 'pageTs'> = {}): Transition {
  if (wasRemovedSince(fact, known, ts)) return { outcome: 'stale', install: known }
  // Whatever the clocks say: the OAuth server has confirmed the pair since, and it refuses those of a removed app.
  const { installedAt, generation } = known
  return { outcome: 'reinstalled', install: { ...newInstall(fact, version, Math.max(ts, known.ts), now, generation), installedAt, ...more } }
}

/** Whether the uninstall was heard of after the proof, and is the later one by the portal's time too: the one before may come late. */
function wasRemovedSince ({ verifiedAt }: VerifiedInstall, known: Install, ts: number): boolean {
  return verifiedAt !== undefined && verifiedAt < known.updatedAt && ts < known.ts
}

function applyAfterPage (known: Install, fact: VerifiedInstall, version: string | undefined, ts: number, now: number): Transition {
  const told = changed(known, { ...known, ...(version !== undefined && { version }), ts: Math.max(ts, known.ts) }, now)
  return hasPair(known) ? { outcome: 'repeated', install: told } : repeatInstall(told, fact, now)
}

function applyUpdate (known: Install | undefined, fact: UpdatedFact, ts: number, now: number): Transition {
  if (fact.verified !== undefined) {
    const { outcome, install } = applyInstall(known, fact.verified, fact.version, ts, now)
    return { outcome: outcome === 'reinstalled' && known?.state !== 'uninstalled' ? 'updated' : outcome, install }
  }
  if (known === undefined || known.state === 'uninstalled') return { outcome: 'unknown', install: known }
  if (ts < known.ts) return { outcome: 'stale', install: known }
  if (fact.version === undefined || fact.version === known.version) return { outcome: 'repeated', install: known }
  // `ts` stays: what nobody verified must not make a later-coming uninstall look old.
  return { outcome: 'updated', install: { ...known, version: fact.version, updatedAt: now } }
}

/** Takes no account of `ts`: this event races with the install of the same second, and the pair was verified just now. */
function applyUserReady (known: Install | undefined, fact: UserReadyFact, now: number): Transition {
  if (known === undefined || known.state === 'uninstalled') return { outcome: 'unknown', install: known }
  const isTaken = fact.isRefreshed === true || !isAlive(known.systemUser)
  if (!isTaken || !isNewer(fact.pair, known.systemUser)) return { outcome: 'repeated', install: known }
  return { outcome: 'user-ready', install: storePair(known, 'systemUser', fact.pair, now) }
}

function applyUninstall (known: Install | undefined, ts: number, now: number): Transition {
  if (known === undefined) return { outcome: 'unknown', install: undefined }
  if (known.state === 'uninstalled') return { outcome: 'repeated', install: known }
  // In the same second the install wins: a script reinstalls that fast, and a wrong delete costs more than a late one.
  if (ts <= known.ts) return { outcome: 'stale', install: known }
  // The digests stay, so that a repeated uninstall is known as one.
  const { installer, systemUser, suspension, ...rest } = known
  return { outcome: 'uninstalled', install: { ...rest, state: 'uninstalled', ts, updatedAt: now } }
}

function newInstall (fact: VerifiedInstall, version: string | undefined, ts: number, now: number, generation = 0): Install {
  const install: Install = {
    memberId: fact.memberId,
    state: 'active',
    ...addresses(fact),
    token: fact.tokenDigest,
    ...(version === undefined ? {} : { version }),
    generation,
    ts,
    installedAt: now,
    updatedAt: now
  }
  return storePair(install, 'installer', fact.pair, now)
}

function renew (known: Install, fact: VerifiedInstall, version: string | undefined, ts: number, now: number): Install {
  const renewed: Install = {
    ...rotateToken(known, fact.tokenDigest, now),
    ...addresses(fact),
    ...(version === undefined ? {} : { version }),
    ts,
    updatedAt: now
  }
  const isTaken = !hasPair(known) || (fact.isRefreshed === true && mayReplaceInstaller(known, fact.tokenDigest, fact.pair.userId))
  return isTaken ? storePair(renewed, 'installer', fact.pair, now) : reactivate(renewed)
}

function repeatInstall (known: Install, fact: VerifiedInstall, now: number): Transition {
  const isTaken = fact.isRefreshed === true || !hasPair(known)
  if (!isTaken || !isNewer(fact.pair, known.installer)) return { outcome: 'repeated', install: known }
  return { outcome: 'repeated', install: storePair(known, 'installer', fact.pair, now) }
}

function addresses (fact: VerifiedInstall): Pick<Install, 'domain' | 'clientEndpoint' | 'oauthServer' | 'scope' | 'status'> {
  const { domain, clientEndpoint, oauthServer, scope, status } = fact
  return { domain, clientEndpoint, oauthServer, scope, ...(status === undefined ? {} : { status }) }
}

/** `known` itself where nothing is new in `next`. */
function changed (known: Install, next: Install, now: number): Install {
  return isDeepStrictEqual(known, next) ? known : { ...next, updatedAt: now }
}

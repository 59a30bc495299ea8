import { isDeepStrictEqual } from 'node:util'
import { rotateToken } from './application-token.ts'
import type { Install, EncryptedPair, TokenDigest } from './install.ts'
import { followsPage, hasPair, isAlive, isLater, isNewer, isOutdated, storePair, mayReplaceInstaller, reactivate, secondOf } from './token-pairs.ts'

/** An install verified by an OAuth server, with the token that was sent with it. */
export interface VerifiedInstall {
  memberId: string
  domain: string
  clientEndpoint: string
  oauthServer: string
  tokenDigest: TokenDigest
  pair: EncryptedPair
  /** The pair comes from a refresh, which verifies its refresh token: only such a pair may replace a possibly valid one. */
  isRefreshed?: boolean | undefined
  scope: string[]
  status?: string | undefined
  /** Time of the verification, ms since the epoch; earlier than now if a write failed. @default now */
  verifiedAt?: number | undefined
}

interface Timed {
  /** Portal time, Unix seconds. @default now */
  ts?: number | undefined
}

/** ONAPPINSTALL, verified. */
export interface InstalledFact extends Timed, VerifiedInstall {
  type: 'installed'
  version?: string | undefined
}

/** The install page, opened by an admin, verified. Opening an installed app sends the same request. */
export interface OpenedFact extends VerifiedInstall {
  type: 'opened'
  /** When the page was opened, by the app's clock, Unix seconds. */
  ts: number
  version?: string | undefined
  /** `false` until the page has called `installFinish` after an install or update. */
  isFinished: boolean
}

/** ONAPPUPDATE. Without `verified` only the version is applied. */
export interface UpdatedFact extends Timed {
  type: 'updated'
  version?: string | undefined
  verified?: VerifiedInstall | undefined
}

/** ONAPPUSERREADY, its pair verified. */
export interface UserReadyFact extends Timed {
  type: 'userReady'
  pair: EncryptedPair
  /** See `VerifiedInstall`. */
  isRefreshed?: boolean | undefined
}

/** ONAPPUNINSTALL, verified by the token. */
export interface UninstalledFact extends Timed {
  type: 'uninstalled'
}

export type InstallFact = InstalledFact | OpenedFact | UpdatedFact | UserReadyFact | UninstalledFact

/**
 * - `installed`: the portal is new
 * - `reinstalled`: after an uninstall, whether or not that was received
 * - `updated`, `user-ready`, `uninstalled`: according to the fact
 * - `repeated`: nothing new, except possibly a newer pair
 * - `stale`: older than the record
 * - `unknown`: the portal has no install to change
 */
export type FactOutcome = 'installed' | 'reinstalled' | 'updated' | 'user-ready' | 'uninstalled' | 'repeated' | 'stale' | 'unknown'

export interface Transition {
  outcome: FactOutcome
  /** Record to write; identical to the given one if nothing has changed. */
  install: Install | undefined
}

/**
 * Applies a lifecycle event to the record of a portal. Pure: no I/O, no clock; `now` is ms since the epoch.
 *
 * Events are ordered by the portal's `ts`, not by arrival. It is not signed, so it is limited to `now`: a forged uninstall of next year
 * must not lock out a portal.
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
  // Some systems do not send ONAPPUPDATE: an update is an install of another version there.
  const outcome = version !== undefined && known.version !== undefined && version !== known.version ? 'updated' : 'reinstalled'
  return { outcome, install: renew(known, fact, version, ts, now) }
}

/**
 * ONAPPINSTALL may report the same install before or after. So the page never reinstalls a known portal, but it may be the only sign of
 * an update.
 */
function applyOpened (known: Install | undefined, fact: OpenedFact, ts: number, now: number): Transition {
  const { version } = fact
  if (known === undefined) return { outcome: 'installed', install: { ...newInstall(fact, version, ts, now), pageTs: ts } }
  if (known.state === 'uninstalled') return applyReinstall(known, fact, version, ts, now, { pageTs: ts })
  const isUpdate = !fact.isFinished && isLater(version, known.version)
  const opened: Install = { ...rotateToken(known, fact.tokenDigest, now), ...addresses(fact), ...(isUpdate && { version: version as string, pageTs: ts }) }
  // Another admin who only opens the app does not replace the installer's pair.
  const isTaken = !hasPair(known) || (!fact.isFinished && fact.isRefreshed === true && isNewer(fact.pair, known.installer))
  const install = isTaken ? storePair(opened, 'installer', fact.pair, now) : changed(known, reactivate(opened), now)
  return { outcome: isUpdate ? 'updated' : 'repeated', install }
}

function applyReinstall (known: Install, fact: VerifiedInstall, version: string | undefined, ts: number, now: number, more: Pick<Install, 'pageTs'> = {}): Transition {
  if (wasRemovedSince(fact, known, ts)) return { outcome: 'stale', install: known }
  // Regardless of clocks: the OAuth server has confirmed the pair since, and rejects pairs of a removed app.
  const { installedAt, generation } = known
  return { outcome: 'reinstalled', install: { ...newInstall(fact, version, Math.max(ts, known.ts), now, generation), installedAt, ...more } }
}

/** Returns whether the uninstall arrived after the verification and is later by portal time too; an earlier uninstall may arrive late. */
function wasRemovedSince ({ verifiedAt }: VerifiedInstall, known: Install, ts: number): boolean {
  return verifiedAt !== undefined && verifiedAt < known.updatedAt && ts < known.ts
}

function applyAfterPage (known: Install, fact: VerifiedInstall, version: string | undefined, ts: number, now: number): Transition {
  const updated = changed(known, { ...known, ...(version !== undefined && { version }), ts: Math.max(ts, known.ts) }, now)
  return hasPair(known) ? { outcome: 'repeated', install: updated } : repeatInstall(updated, fact, now)
}

function applyUpdate (known: Install | undefined, fact: UpdatedFact, ts: number, now: number): Transition {
  if (fact.verified !== undefined) {
    const { outcome, install } = applyInstall(known, fact.verified, fact.version, ts, now)
    return { outcome: outcome === 'reinstalled' && known?.state !== 'uninstalled' ? 'updated' : outcome, install }
  }
  if (known === undefined || known.state === 'uninstalled') return { outcome: 'unknown', install: known }
  if (ts < known.ts) return { outcome: 'stale', install: known }
  if (fact.version === undefined || fact.version === known.version) return { outcome: 'repeated', install: known }
  // `ts` is kept: an unverified update must not make a later uninstall look outdated.
  return { outcome: 'updated', install: { ...known, version: fact.version, updatedAt: now } }
}

/** Ignores `ts`: this event races with the install of the same second, and its pair has just been verified. */
function applyUserReady (known: Install | undefined, fact: UserReadyFact, now: number): Transition {
  if (known === undefined || known.state === 'uninstalled') return { outcome: 'unknown', install: known }
  const isTaken = fact.isRefreshed === true || !isAlive(known.systemUser)
  if (!isTaken || !isNewer(fact.pair, known.systemUser)) return { outcome: 'repeated', install: known }
  return { outcome: 'user-ready', install: storePair(known, 'systemUser', fact.pair, now) }
}

function applyUninstall (known: Install | undefined, ts: number, now: number): Transition {
  if (known === undefined) return { outcome: 'unknown', install: undefined }
  if (known.state === 'uninstalled') return { outcome: 'repeated', install: known }
  // In the same second the install wins: scripts reinstall that fast, and a wrong deletion is worse than a late one.
  if (ts <= known.ts) return { outcome: 'stale', install: known }
  // The digests are kept to recognize a repeated uninstall.
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

/** Returns `known` itself if `next` has no changes. */
function changed (known: Install, next: Install, now: number): Install {
  return isDeepStrictEqual(known, next) ? known : { ...next, updatedAt: now }
}

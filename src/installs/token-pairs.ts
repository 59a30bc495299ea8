import type { Install, PairOwner, EncryptedPair, TokenDigest } from './install.ts'

/** Fields of an install before its verification. */
export interface UnverifiedInstall {
  tokenDigest: TokenDigest
  version?: string | undefined
  /** Portal time, Unix seconds. @default now */
  ts?: number | undefined
}

/** Maximum time between an install page and the ONAPPINSTALL of the same install, seconds. */
const PAGE_WINDOW_S = 3600

/** Returns whether an install or update is older than the record, so that it needs no verification. */
export function isOutdated (known: Install | undefined, claimed: UnverifiedInstall, now: number): boolean {
  if (known === undefined || known.state === 'uninstalled') return false
  return secondOf(claimed.ts, now) < known.ts && !followsPage(known, claimed, now)
}

/** Returns whether an install would replace a possibly valid pair: its refresh token must be verified first. */
export function replacesPair (known: Install | undefined, claimed: UnverifiedInstall, userId: number | undefined, now: number): boolean {
  if (known === undefined || known.state === 'uninstalled' || !hasPair(known)) return false
  return !followsPage(known, claimed, now) && mayReplaceInstaller(known, claimed.tokenDigest, userId)
}

/** Returns whether an ONAPPINSTALL belongs to an install already known from its page. Clocks may differ, and users may take their time. */
export function followsPage (known: Install, { tokenDigest, version, ts }: UnverifiedInstall, now: number): boolean {
  if (known.pageTs === undefined || tokenDigest !== known.token || isLater(version, known.version)) return false
  return Math.abs(secondOf(ts, now) - known.pageTs) <= PAGE_WINDOW_S
}

/** Returns whether an install may replace the installer's pair: with the known token, or by the same user. */
export function mayReplaceInstaller (known: Install, tokenDigest: TokenDigest, userId: number | undefined): boolean {
  return tokenDigest === known.token || userId === known.installer?.userId
}

/** Returns whether the installer's pair exists and may be valid. */
export function hasPair ({ state, installer }: Install): boolean {
  return state !== 'reauth_required' && isAlive(installer)
}

export function isAlive (pair: EncryptedPair | undefined): boolean {
  return pair !== undefined && pair.isDead !== true
}

/** Compares versions of the Market, which are integers; returns `false` for any others. */
export function isLater (version: string | undefined, than: string | undefined): boolean {
  return [version, than].every(each => each !== undefined && /^\d+$/.test(each)) && Number(version) > Number(than)
}

/** Limits the portal's `ts`, which is not signed, to the current time. */
export function secondOf (ts: number | undefined, now: number): number {
  const second = Math.floor(now / 1000)
  return Math.min(ts ?? second, second)
}

/** Stores a pair that the OAuth server has just issued or confirmed, with the next generation, and reactivates the install. */
export function storePair (known: Install, owner: PairOwner, { encrypted, userId, expiresAt }: EncryptedPair, now: number): Install {
  const generation = (known.generation ?? 0) + 1
  const pair: EncryptedPair = { encrypted, ...(userId !== undefined && { userId }), expiresAt, generation, refreshedAt: now }
  return { ...reactivate(known), [owner]: pair, generation, updatedAt: now }
}

/** Ends a suspension. */
export function reactivate ({ suspension, ...known }: Install): Install {
  return { ...known, state: 'active' }
}

/** Returns whether a confirmed pair should replace a stored one. */
export function isNewer (pair: EncryptedPair, known: EncryptedPair | undefined): boolean {
  return known === undefined || known.isDead === true || pair.expiresAt > known.expiresAt
}

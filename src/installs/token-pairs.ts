import type { Install, PairOwner, SealedPair, TokenDigest } from './install.ts'

/** What an install says before anybody is asked about it. */
export interface UnverifiedInstall {
  tokenDigest: TokenDigest
  version?: string | undefined
  /** Portal's time, Unix seconds; absent: now. */
  ts?: number | undefined
}

/** Time between the post of an install page and the ONAPPINSTALL of the same install, seconds. */
const PAGE_WINDOW_S = 3600

/** Returns whether an install or update that brings a pair is older than what is known, so that nothing needs to be asked about it. */
export function isOutdated (known: Install | undefined, claimed: UnverifiedInstall, now: number): boolean {
  if (known === undefined || known.state === 'uninstalled') return false
  return secondOf(claimed.ts, now) < known.ts && !followsPage(known, claimed, now)
}

/** Returns whether an install would put its pair in the place of one that may be good: its refresh token must be verified first. */
export function replacesPair (known: Install | undefined, claimed: UnverifiedInstall, userId: number | undefined, now: number): boolean {
  if (known === undefined || known.state === 'uninstalled' || !hasPair(known)) return false
  return !followsPage(known, claimed, now) && mayReplaceInstaller(known, claimed.tokenDigest, userId)
}

/** ONAPPINSTALL of an install that its page has told already. Their clocks may differ, and users may take their time with the page. */
export function followsPage (known: Install, { tokenDigest, version, ts }: UnverifiedInstall, now: number): boolean {
  if (known.pageTs === undefined || tokenDigest !== known.token || isLater(version, known.version)) return false
  return Math.abs(secondOf(ts, now) - known.pageTs) <= PAGE_WINDOW_S
}

/** Another admin, who does not know the token, must not put their pair in the place of a good one. */
export function mayReplaceInstaller (known: Install, tokenDigest: TokenDigest, userId: number | undefined): boolean {
  return tokenDigest === known.token || userId === known.installer?.userId
}

/** Returns whether there is a pair of the installer that may be good. */
export function hasPair ({ state, installer }: Install): boolean {
  return state !== 'reauth_required' && isAlive(installer)
}

export function isAlive (pair: SealedPair | undefined): boolean {
  return pair !== undefined && pair.isDead !== true
}

/** Versions of the Market are whole numbers; of others, and of two ways to write one, nothing can be said. */
export function isLater (version: string | undefined, than: string | undefined): boolean {
  return [version, than].every(each => each !== undefined && /^\d+$/.test(each)) && Number(version) > Number(than)
}

/** The portal's `ts` is not signed, so it counts as now at most. */
export function secondOf (ts: number | undefined, now: number): number {
  const second = Math.floor(now / 1000)
  return Math.min(ts ?? second, second)
}

/** Keeps a pair that the OAuth server has just made or confirmed, under a number of its own; the app may act on the portal with it. */
export function storePair (known: Install, owner: PairOwner, { sealed, userId, expiresAt }: SealedPair, now: number): Install {
  const generation = (known.generation ?? 0) + 1
  const pair: SealedPair = { sealed, ...(userId !== undefined && { userId }), expiresAt, generation, refreshedAt: now }
  return { ...reactivate(known), [owner]: pair, generation, updatedAt: now }
}

/** Ends what kept the app from acting on the portal. */
export function reactivate ({ suspension, ...known }: Install): Install {
  return { ...known, state: 'active' }
}

/** Tells whether a pair that was confirmed is to take the place of a known one. */
export function isNewer (pair: SealedPair, known: SealedPair | undefined): boolean {
  return known === undefined || known.isDead === true || pair.expiresAt > known.expiresAt
}

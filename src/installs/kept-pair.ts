import type { Install, PairOwner, SealedPair } from './install.ts'

/** Keeps a pair that the OAuth server has just made or confirmed, under a number of its own; the app may act on the portal with it. */
export function keepPair (known: Install, owner: PairOwner, { sealed, userId, expiresAt }: SealedPair, now: number): Install {
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

import { FST_B24_PORTAL_GONE, FST_B24_PORTAL_SUSPENDED, FST_B24_REAUTH_REQUIRED } from '../../errors.ts'
import type { Install, PairOwner, SealedPair } from '../../installs/install.ts'
import type { Encryptor } from '../../oauth/encryption.ts'

/** Token and address for calls to a portal. Secret: never logged. */
export interface PortalAccess {
  memberId: string
  domain: string
  /** REST base of the portal, ends with `/rest/`. */
  clientEndpoint: string
  /** Origin of the OAuth server that issued the token. */
  oauthServer: string
  accessToken: string
  /** Expiry of the access token, ms since the epoch. */
  expiresAt: number
  /** Portal user the token acts for. */
  userId: number | undefined
  /** Incremented with each new pair of the portal. */
  generation: number
  owner: PairOwner
  /** The portal denied access last time: a success with this token ends the suspension. */
  isSuspended: boolean
}

export interface SelectedPair {
  owner: PairOwner
  pair: SealedPair
  generation: number
}

/** Pairs of a portal that are not known to be invalid, that of `first` first. */
export function validPairs (install: Install, first: PairOwner): SelectedPair[] {
  return [first, otherOwner(first)].flatMap((owner) => {
    const pair = install[owner]
    return pair === undefined || pair.isDead === true ? [] : [{ owner, pair, generation: pair.generation ?? 0 }]
  })
}

export function otherOwner (owner: PairOwner): PairOwner {
  return owner === 'installer' ? 'systemUser' : 'installer'
}

/**
 * Selects the pair for calls to a portal, preferably that of `first`; its access token may have expired.
 *
 * @throws FST_B24_REAUTH_REQUIRED, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_GONE when the app has no access now
 */
export function selectPair (memberId: string, install: Install | undefined, now: number, first: PairOwner): { install: Install, selected: SelectedPair } {
  if (install === undefined) {
    throw new FST_B24_REAUTH_REQUIRED(memberId, 'the app is not installed there, and an outgoing webhook carries no token')
  }
  if (install.state === 'uninstalled') throw new FST_B24_PORTAL_GONE()
  const { suspension } = install
  if (suspension !== undefined && now < suspension.retryAt) {
    throw suspension.reason === 'uninstalled' ? new FST_B24_PORTAL_GONE() : new FST_B24_PORTAL_SUSPENDED(memberId)
  }
  const [selected] = validPairs(install, first)
  if (install.state === 'reauth_required' || selected === undefined) {
    throw new FST_B24_REAUTH_REQUIRED(memberId, 'a user of the portal must open or reinstall the app')
  }
  return { install, selected }
}

/** @throws FST_B24_DECRYPTION_FAILED */
export function toPortalAccess (install: Install, { owner, pair, generation }: SelectedPair, encryptor: Encryptor): PortalAccess {
  const { memberId, domain, clientEndpoint, oauthServer } = install
  const { accessToken, expiresAt } = encryptor.decrypt(pair.sealed, memberId)
  return {
    memberId,
    domain,
    clientEndpoint,
    oauthServer,
    accessToken,
    expiresAt,
    userId: pair.userId,
    generation,
    owner,
    isSuspended: install.state === 'suspended'
  }
}

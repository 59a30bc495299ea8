import { FST_B24_PORTAL_GONE, FST_B24_PORTAL_SUSPENDED, FST_B24_REAUTH_REQUIRED } from '../../errors.ts'
import type { Install, PairOwner, SealedPair } from '../../installs/install.ts'
import type { Encryptor } from '../../oauth/encryption.ts'

/** What a call to a portal needs. Secret: never logged. */
export interface PortalAccess {
  memberId: string
  domain: string
  /** REST base of the portal, ends with `/rest/`. */
  clientEndpoint: string
  /** Origin of the OAuth server that made the token. */
  oauthServer: string
  accessToken: string
  /** End of the access token, ms since the epoch. */
  expiresAt: number
  /** Portal user whom the token stands for. */
  userId: number | undefined
  /** One more at each new pair of the portal: tells a newer token from an older one. */
  generation: number
  /** Whose pair. */
  owner: PairOwner
  /** The portal refused the app when it was asked last: an answer to this token ends that. */
  isSuspended: boolean
}

/** The pair that stands for the app at a portal now. */
export interface SelectedPair {
  owner: PairOwner
  pair: SealedPair
  generation: number
}

/** The pairs of a portal that may be good, that of `first` first. */
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
 * The pair to act on a portal with, that of `first` where there is one, its hour over or not.
 *
 * @throws FST_B24_REAUTH_REQUIRED, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_GONE where none is to be used now
 */
export function selectPair (memberId: string, install: Install | undefined, now: number, first: PairOwner): { install: Install, used: SelectedPair } {
  if (install === undefined) {
    throw new FST_B24_REAUTH_REQUIRED(memberId, 'the app is not installed there, and an outgoing webhook brings none')
  }
  if (install.state === 'uninstalled') throw new FST_B24_PORTAL_GONE()
  const { suspension } = install
  if (suspension !== undefined && now < suspension.retryAt) {
    throw suspension.reason === 'uninstalled' ? new FST_B24_PORTAL_GONE() : new FST_B24_PORTAL_SUSPENDED(memberId)
  }
  const [used] = validPairs(install, first)
  if (install.state === 'reauth_required' || used === undefined) {
    throw new FST_B24_REAUTH_REQUIRED(memberId, 'a user of the portal must open or install the app again')
  }
  return { install, used }
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

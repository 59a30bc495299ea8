import type { SealedPair } from '../installs/install.ts'
import type { CheckQueue } from '../oauth/check-queue.ts'
import type { Sealer } from '../oauth/seal.ts'
import { verifyPair, type Grant, type VerifyOptions } from '../oauth/verify.ts'
import { isPrivateAddress } from '../portal/private-address.ts'
import { rejected, type Receipt } from './receipt.ts'

export interface PairCheckParts {
  queue: CheckQueue
  sealer: Sealer
  oauth: VerifyOptions
  allowPrivateNetworks: boolean
}

export interface CheckSource {
  ip: string
  isProven: boolean
}

export interface VerifiedPair {
  status: 'verified'
  grant: Grant
  pair: SealedPair
}

const LONGEST_TOKEN = 2048

/** Asks the OAuth server about the token pair of a post, and seals the pair that it confirms. */
export class PairCheck {
  readonly #parts: PairCheckParts

  constructor (parts: PairCheckParts) {
    this.#parts = parts
  }

  /**
   * @param tokens where the pair stands in the post: `auth`, or the `data` of ONAPPUSERREADY
   * @param source who sent it, and whether it proved its portal by the token already
   * @throws FST_B24_OAUTH_UNAVAILABLE, FST_B24_INSTALL_BUSY
   */
  async check (memberId: string, tokens: unknown, { ip, isProven }: CheckSource): Promise<VerifiedPair | (Receipt & { status: 'rejected' })> {
    const { queue, oauth, sealer, allowPrivateNetworks } = this.#parts
    const { access_token: accessToken, refresh_token: refreshToken, server_endpoint: serverEndpoint, user_id: userId } = (tokens ?? {}) as Record<string, unknown>
    if (!isToken(accessToken) || !isToken(refreshToken)) return rejected('no_tokens')
    const claim = { memberId, accessToken, refreshToken, serverEndpoint, userId }
    const verification = await queue.run(ip, isProven, () => verifyPair(claim, oauth))
    if (verification.status === 'rejected') return rejected(verification.reason)
    const { grant } = verification
    if (!allowPrivateNetworks && isPrivateAddress(grant.clientEndpoint)) return rejected('private_address')
    const { expiresAt } = grant.pair
    const sealed = sealer.seal(grant.pair, memberId)
    return { status: 'verified', grant, pair: { sealed, expiresAt, ...(grant.userId !== undefined && { userId: grant.userId }) } }
  }
}

function isToken (value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= LONGEST_TOKEN
}

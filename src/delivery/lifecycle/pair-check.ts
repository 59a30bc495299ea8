import type { SealedPair } from '../../installs/install.ts'
import type { CheckQueue } from './check-queue.ts'
import type { Sealer } from '../../oauth/seal.ts'
import { verifyPair, type Grant, type VerifyOptions } from '../../oauth/verify.ts'
import { AddressGuard, type AllowedNetworks } from '../../portal/rest/private-address.ts'
import { chooseServer } from '../../oauth/servers.ts'
import { rejected, type Rejection } from '../receipt.ts'
import type { RejectReason } from '../reject-reason.ts'

export interface PairCheckParts {
  queue: CheckQueue
  sealer: Sealer
  oauth: VerifyOptions
  allowPrivateNetworks: AllowedNetworks
}

export interface CheckSource {
  ip: string
  isProven: boolean
  /** See `VerifyOptions`. */
  beforeRefresh?: BeforeRefresh | undefined
}

export type BeforeRefresh = NonNullable<VerifyOptions['beforeRefresh']>

export interface VerifiedPair {
  status: 'verified'
  grant: Grant
  pair: SealedPair
}

const LONGEST_TOKEN = 2048

/** Asks the OAuth server about the token pair of a post, and seals the pair that it confirms. */
export class PairCheck {
  readonly #parts: PairCheckParts
  readonly #guard: AddressGuard

  constructor (parts: PairCheckParts) {
    this.#parts = parts
    this.#guard = new AddressGuard(parts.allowPrivateNetworks)
  }

  /** What is wrong with a pair before any server is asked. */
  problemOf (tokens: unknown): RejectReason | undefined {
    if (!hasPair(tokens)) return 'no_tokens'
    return chooseServer(this.#parts.oauth.allowedServers, tokens.server_endpoint) === undefined ? 'server_not_allowed' : undefined
  }

  /**
   * @param tokens where the pair stands in the post: `auth`, or the `data` of ONAPPUSERREADY
   * @param source who sent it, and whether it proved its portal by the token already
   * @throws FST_B24_OAUTH_UNAVAILABLE, FST_B24_INSTALL_BUSY
   */
  async check (memberId: string, tokens: unknown, { ip, isProven, beforeRefresh }: CheckSource): Promise<VerifiedPair | Rejection> {
    const { queue, oauth, sealer } = this.#parts
    if (!hasPair(tokens)) return rejected('no_tokens')
    const { access_token: accessToken, refresh_token: refreshToken, server_endpoint: serverEndpoint, user_id: userId } = tokens
    const claim = { memberId, accessToken, refreshToken, serverEndpoint, userId }
    const verification = await queue.run(ip, isProven ? memberId : undefined, () => verifyPair(claim, { ...oauth, beforeRefresh }))
    if (verification.status === 'rejected') return rejected(verification.reason)
    const { grant } = verification
    if (this.#guard.refusesUrl(grant.clientEndpoint)) return rejected('private_address')
    const { expiresAt } = grant.pair
    const sealed = sealer.seal(grant.pair, memberId)
    return { status: 'verified', grant, pair: { sealed, expiresAt, ...(grant.userId !== undefined && { userId: grant.userId }) } }
  }
}

interface PostedPair extends Record<string, unknown> {
  access_token: string
  refresh_token: string
}

function hasPair (tokens: unknown): tokens is PostedPair {
  const { access_token: accessToken, refresh_token: refreshToken } = (tokens ?? {}) as Record<string, unknown>
  return isToken(accessToken) && isToken(refreshToken)
}

function isToken (value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= LONGEST_TOKEN
}

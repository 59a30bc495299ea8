import type { Install, PairOwner, EncryptedPair } from '../../installs/install.ts'
import type { AppCredentials } from '../../oauth/app-credentials.ts'
import type { Encryptor } from '../../oauth/encryption.ts'
import { refreshPair, verifyPair, type Grant, type UnverifiedPair, type VerifyOptions } from '../../oauth/verify-pair.ts'
import type { FetchPageUser, PageUser } from '../../portal/rest/page-user.ts'
import { AddressGuard, type AllowedNetworks } from '../../portal/rest/address-guard.ts'
import { chooseServer, type TokenPair } from '../../oauth/oauth-server.ts'
import type { Source } from '../../storage/network-share.ts'
import { rejected, type Rejection, type RejectReason } from '../receive-outcome.ts'
import { sourceOf, type UnverifiedLimiter } from '../unverified-limiter.ts'

export interface PairCheckParts {
  limiter: UnverifiedLimiter
  encryptor: Encryptor
  oauth: VerifyOptions & { keys: Pick<AppCredentials, 'probeOnce'> }
  fetchPageUser: FetchPageUser
  allowPrivateNetworks: AllowedNetworks
}

export interface CheckSource {
  ip: string
  /** The event has the token of the portal. */
  isVerified: boolean
  /** `false`: an expired pair is rejected instead of refreshed. @default true */
  mayRefresh?: boolean | undefined
  /** Progress of a refresh, so that the next attempt resumes after it. */
  refreshLog?: RefreshLog | undefined
}

/** Stores the progress of a refresh durably: a refresh invalidates the received pair, so it cannot be repeated. */
export interface RefreshLog {
  /** Pair that an earlier attempt got by refreshing the received one, encrypted. */
  readonly pair?: string | undefined
  /** See `VerifyOptions`. */
  before (): Promise<void>
  after (encrypted: string): Promise<void>
}

export interface VerifiedPair {
  status: 'verified'
  grant: Grant
  pair: EncryptedPair
}

const MAX_TOKEN_LENGTH = 2048
const NEVER = new AbortController().signal

/** Verifies the token pair of an event at the OAuth server and fetches its user from the portal. Returns the pair encrypted. */
export class PairCheck {
  readonly #parts: PairCheckParts
  readonly #guard: AddressGuard

  constructor (parts: PairCheckParts) {
    this.#parts = parts
    this.#guard = new AddressGuard(parts.allowPrivateNetworks)
  }

  /** Returns why a pair is rejected without a request to its server: it is invalid, or was rejected in the last minute. */
  problemOf (memberId: string, tokens: unknown): RejectReason | undefined {
    if (!hasPair(tokens)) return 'no_tokens'
    if (this.serverOf(tokens) === undefined) return 'server_not_allowed'
    return this.#parts.limiter.rejectionOf([unverifiedPairOf(memberId, tokens, undefined), true])
  }

  /** Returns the origin of the OAuth server that must confirm a pair; `undefined` if the pair names one that is not allowed. */
  serverOf (tokens: unknown): string | undefined {
    return chooseServer(this.#parts.oauth.allowedServers, (tokens as Partial<ReceivedPair> | undefined)?.server_endpoint)
  }

  /**
   * Verifies a pair at its OAuth server.
   *
   * @param tokens the part of the event that contains the pair: `auth`, or the `data` of ONAPPUSERREADY
   * @throws FST_B24_OAUTH_UNAVAILABLE, FST_B24_APP_KEYS, FST_B24_INSTALL_BUSY
   */
  async check (memberId: string, tokens: unknown, source: CheckSource): Promise<VerifiedPair | Rejection> {
    const { oauth, limiter } = this.#parts
    if (!hasPair(tokens)) return rejected('no_tokens')
    const server = this.serverOf(tokens)
    if (server === undefined) return rejected('server_not_allowed')
    const refreshed = this.#refreshedPair(memberId, source)
    const unverified = unverifiedPairOf(memberId, tokens, refreshed)
    const query = [unverified, source.mayRefresh !== false]
    const rejection = limiter.rejectionOf(query)
    if (rejection !== undefined) return rejected(rejection)
    limiter.count('query', toSource(server, memberId, source))
    const verification = await limiter.run(toSource(server, memberId, source), async () => await verifyPair(unverified, this.#options(memberId, source)))
    if (verification.status === 'rejected') {
      limiter.remember(query, verification.reason)
      return rejected(verification.reason)
    }
    const { grant } = verification
    if (this.#guard.blocksUrl(grant.clientEndpoint)) return rejected('private_address')
    oauth.keys.probeOnce(grant.oauthServer)
    return this.#verified(memberId, { ...grant, isRefreshed: grant.isRefreshed || refreshed !== undefined })
  }

  /**
   * Refreshes a verified pair, which is the only way to verify its refresh token. A pair that came from a refresh is returned unchanged.
   *
   * @throws as `check`
   */
  async refresh (memberId: string, { grant }: VerifiedPair, source: CheckSource): Promise<VerifiedPair | Rejection> {
    if (grant.isRefreshed) return this.#verified(memberId, grant)
    const { accessToken, refreshToken } = grant.pair
    const unverified = { memberId, accessToken, refreshToken }
    const sender = toSource(grant.oauthServer, memberId, source)
    const fresh = await this.#parts.limiter.run(sender, async () => await refreshPair(grant.oauthServer, unverified, this.#options(memberId, source)))
    if (fresh.status === 'rejected') return rejected(fresh.reason)
    if (fresh.memberId !== undefined && fresh.memberId !== memberId) return rejected('other_portal')
    if (fresh.userId !== undefined && grant.userId !== undefined && fresh.userId !== grant.userId) return rejected('other_user')
    return this.#verified(memberId, { ...grant, pair: fresh.pair, isRefreshed: true })
  }

  /**
   * Fetches the user of a pair from the portal, at the address that the OAuth server returned.
   *
   * @throws FST_B24_PORTAL_UNAVAILABLE and other errors of calls
   */
  async fetchUser (memberId: string, { grant }: VerifiedPair, source: CheckSource): Promise<PageUser> {
    const { fetchPageUser, limiter, oauth: { signal = NEVER } } = this.#parts
    const { domain, clientEndpoint, oauthServer, pair: { accessToken } } = grant
    return await limiter.run(toSource(oauthServer, memberId, source), async () => await fetchPageUser({ memberId, domain, clientEndpoint, accessToken, signal }))
  }

  /** Returns which stored pair these tokens are; `undefined` for an unknown pair. */
  ownerOf (install: Install | undefined, tokens: unknown): PairOwner | undefined {
    if (install === undefined || !hasPair(tokens)) return undefined
    return (['installer', 'systemUser'] as const).find(owner => this.#decrypt(install[owner]?.encrypted, install.memberId)?.refreshToken === tokens.refresh_token)
  }

  #refreshedPair (memberId: string, { refreshLog }: CheckSource): TokenPair | undefined {
    return this.#decrypt(refreshLog?.pair, memberId)
  }

  /** Returns `undefined` for a pair that cannot be decrypted. */
  #decrypt (encrypted: string | undefined, memberId: string): TokenPair | undefined {
    try {
      return encrypted === undefined ? undefined : this.#parts.encryptor.decrypt(encrypted, memberId)
    } catch {
      return undefined
    }
  }

  #options (memberId: string, { refreshLog, mayRefresh }: CheckSource): VerifyOptions {
    const { oauth, encryptor } = this.#parts
    if (refreshLog === undefined) return { ...oauth, mayRefresh }
    return { ...oauth, mayRefresh, beforeRefresh: async () => await refreshLog.before(), afterRefresh: async pair => await refreshLog.after(encryptor.encrypt(pair, memberId)) }
  }

  #verified (memberId: string, grant: Grant): VerifiedPair {
    const { pair, userId } = grant
    const encrypted = this.#parts.encryptor.encrypt(pair, memberId)
    return { status: 'verified', grant, pair: { encrypted, expiresAt: pair.expiresAt, ...(userId !== undefined && { userId }) } }
  }
}

function toSource (server: string, memberId: string, { ip, isVerified }: CheckSource): Source {
  return sourceOf(server, ip, isVerified ? memberId : undefined)
}

function unverifiedPairOf (memberId: string, tokens: ReceivedPair, refreshed: TokenPair | undefined): UnverifiedPair {
  const { access_token: accessToken, refresh_token: refreshToken, server_endpoint: serverEndpoint, user_id: userId } = tokens
  return { memberId, serverEndpoint, userId, ...(refreshed ?? { accessToken, refreshToken }) }
}

interface ReceivedPair extends Record<string, unknown> {
  access_token: string
  refresh_token: string
}

function hasPair (tokens: unknown): tokens is ReceivedPair {
  const { access_token: accessToken, refresh_token: refreshToken } = (tokens ?? {}) as Record<string, unknown>
  return isToken(accessToken) && isToken(refreshToken)
}

function isToken (value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_TOKEN_LENGTH
}

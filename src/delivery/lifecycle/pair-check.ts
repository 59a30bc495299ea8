import type { Install, PairOwner, EncryptedPair } from '../../installs/install.ts'
import type { AppCredentials } from '../../oauth/app-credentials.ts'
import type { Encryptor } from '../../oauth/encryption.ts'
import type { TokenPair } from '../../oauth/oauth-server.ts'
import { refreshPair, verifyPair, type Grant, type UnverifiedPair, type VerifyOptions } from '../../oauth/verify-pair.ts'
import type { FetchPageUser, PageUser } from '../../portal/rest/page-user.ts'
import { AddressGuard, type AllowedNetworks } from '../../portal/rest/address-guard.ts'
import { chooseServer } from '../../oauth/oauth-server.ts'
import type { Source } from '../../storage/source-share.ts'
import { rejected, type Rejection, type RejectReason } from '../receipt.ts'
import { sourceOf, type UnverifiedLimiter } from '../unverified-limiter.ts'

export interface PairCheckParts {
  limiter: UnverifiedLimiter
  encryptor: Encryptor
  oauth: VerifyOptions & { keys: Pick<AppCredentials, 'probeOnce'> }
  /** Asks a portal who its user is. */
  fetchPageUser: FetchPageUser
  allowPrivateNetworks: AllowedNetworks
}

export interface CheckSource {
  ip: string
  isVerified: boolean
  /** `false`: a pair whose hour is over is refused, and not traded. @default true */
  mayRefresh?: boolean | undefined
  /** What is kept of a refresh, so that an attempt goes on where the last one ended. */
  trades?: RefreshLog | undefined
}

/** Keeps durably what became of a pair that only one refresh can prove. */
export interface RefreshLog {
  /** What the posted pair was traded for, encrypted. */
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

const LONGEST_TOKEN = 2048
const NEVER = new AbortController().signal

/** Asks the OAuth server about the token pair of an event and the portal about its user, and encrypts the confirmed pair. */
export class PairCheck {
  readonly #parts: PairCheckParts
  readonly #guard: AddressGuard

  constructor (parts: PairCheckParts) {
    this.#parts = parts
    this.#guard = new AddressGuard(parts.allowPrivateNetworks)
  }

  /** What is wrong with a pair before any server is asked, or was when it was asked in the last minute. */
  problemOf (memberId: string, tokens: unknown): RejectReason | undefined {
    if (!hasPair(tokens)) return 'no_tokens'
    if (this.serverOf(tokens) === undefined) return 'server_not_allowed'
    return this.#parts.limiter.refusalOf([pairClaimOf(memberId, tokens, undefined), true])
  }

  /** Origin of the OAuth server that is asked about a pair; `undefined` when it names one that is not allowed. */
  serverOf (tokens: unknown): string | undefined {
    return chooseServer(this.#parts.oauth.allowedServers, (tokens as Partial<PostedPair> | undefined)?.server_endpoint)
  }

  /**
   * @param tokens where the pair stands in the event: `auth`, or the `data` of ONAPPUSERREADY
   * @param source who sent it, and whether it proved its portal by the token already
   * @throws FST_B24_OAUTH_UNAVAILABLE, FST_B24_APP_KEYS, FST_B24_INSTALL_BUSY
   */
  async check (memberId: string, tokens: unknown, source: CheckSource): Promise<VerifiedPair | Rejection> {
    const { oauth, limiter } = this.#parts
    if (!hasPair(tokens)) return rejected('no_tokens')
    const server = this.serverOf(tokens)
    if (server === undefined) return rejected('server_not_allowed')
    const traded = this.#tradedFor(memberId, source)
    const claim = pairClaimOf(memberId, tokens, traded)
    const question = [claim, source.mayRefresh !== false]
    const refusal = limiter.refusalOf(question)
    if (refusal !== undefined) return rejected(refusal)
    limiter.count('question', toSource(server, memberId, source))
    const verification = await limiter.run(toSource(server, memberId, source), async () => await verifyPair(claim, this.#options(memberId, source)))
    if (verification.status === 'rejected') {
      limiter.remember(question, verification.reason)
      return rejected(verification.reason)
    }
    const { grant } = verification
    if (this.#guard.blocksUrl(grant.clientEndpoint)) return rejected('private_address')
    oauth.keys.probeOnce(grant.oauthServer)
    return this.#verified(memberId, { ...grant, isRefreshed: grant.isRefreshed || traded !== undefined })
  }

  /**
   * RefreshLogs a pair that was verified for a new one: nothing else proves its refresh token. One that came by a refresh stays.
   *
   * @throws as `check`
   */
  async trade (memberId: string, { grant }: VerifiedPair, source: CheckSource): Promise<VerifiedPair | Rejection> {
    if (grant.isRefreshed) return this.#verified(memberId, grant)
    const { accessToken, refreshToken } = grant.pair
    const claim = { memberId, accessToken, refreshToken }
    const sender = toSource(grant.oauthServer, memberId, source)
    const fresh = await this.#parts.limiter.run(sender, async () => await refreshPair(grant.oauthServer, claim, this.#options(memberId, source)))
    if (fresh.status === 'rejected') return rejected(fresh.reason)
    if (fresh.memberId !== undefined && fresh.memberId !== memberId) return rejected('other_portal')
    if (fresh.userId !== undefined && grant.userId !== undefined && fresh.userId !== grant.userId) return rejected('other_user')
    return this.#verified(memberId, { ...grant, pair: fresh.pair, isRefreshed: true })
  }

  /**
   * Asks the portal, at the address that the OAuth server names, about the user of a pair.
   *
   * @throws FST_B24_PORTAL_UNAVAILABLE and the like when the portal does not say
   */
  async ask (memberId: string, { grant }: VerifiedPair, source: CheckSource): Promise<PageUser> {
    const { fetchPageUser, limiter, oauth: { signal = NEVER } } = this.#parts
    const { domain, clientEndpoint, oauthServer, pair: { accessToken } } = grant
    return await limiter.run(toSource(oauthServer, memberId, source), async () => await fetchPageUser({ memberId, domain, clientEndpoint, accessToken, signal }))
  }

  /** Whose pair of the record it is that an event brings; `undefined` when it is another. */
  ownerOf (install: Install | undefined, tokens: unknown): PairOwner | undefined {
    if (install === undefined || !hasPair(tokens)) return undefined
    return (['installer', 'systemUser'] as const).find(owner => this.#open(install[owner]?.encrypted, install.memberId)?.refreshToken === tokens.refresh_token)
  }

  #tradedFor (memberId: string, { trades }: CheckSource): TokenPair | undefined {
    return this.#open(trades?.pair, memberId)
  }

  /** A pair that cannot be opened is none. */
  #open (encrypted: string | undefined, memberId: string): TokenPair | undefined {
    try {
      return encrypted === undefined ? undefined : this.#parts.encryptor.decrypt(encrypted, memberId)
    } catch {
      return undefined
    }
  }

  #options (memberId: string, { trades, mayRefresh }: CheckSource): VerifyOptions {
    const { oauth, encryptor } = this.#parts
    if (trades === undefined) return { ...oauth, mayRefresh }
    return { ...oauth, mayRefresh, beforeRefresh: async () => await trades.before(), afterRefresh: async pair => await trades.after(encryptor.encrypt(pair, memberId)) }
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

function pairClaimOf (memberId: string, tokens: PostedPair, traded: TokenPair | undefined): UnverifiedPair {
  const { access_token: accessToken, refresh_token: refreshToken, server_endpoint: serverEndpoint, user_id: userId } = tokens
  return { memberId, serverEndpoint, userId, ...(traded ?? { accessToken, refreshToken }) }
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

import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_APP_KEYS } from '../errors.ts'
import type { HttpDispatcher } from './request.ts'
import { refreshGrant } from './oauth-server.ts'

export interface AppCredentialsParts {
  clientId: string
  clientSecret: string
  log: Pick<FastifyBaseLogger, 'error'>
  dispatcher?: HttpDispatcher | undefined
  /** Aborts requests under way. */
  signal?: AbortSignal | undefined
  /** @default Date.now */
  now?: (() => number) | undefined
}

/** Whether OAuth servers accept `clientId` and `clientSecret`, as far as this process knows. */
export type AppCredentialsState = 'unknown' | 'accepted' | 'refused'

interface Server {
  acceptedAt?: number
  /** The last probe was rejected. */
  isRejected?: boolean
  /** The probe was rejected although the credentials work: its result means nothing on this server. */
  isProbeUseless?: boolean
  probing?: Promise<void> | undefined
}

/** How long a rejection is cached, in milliseconds; randomized by ±25 % so that processes do not retry together. */
const REJECTION_TTL_MS = 60_000
/** How long an acceptance is trusted, in milliseconds: the secret may be changed in Bitrix24 at any time. */
const ACCEPTANCE_TTL_MS = 60_000
/** Always about the app itself. */
const WRONG_CLIENT = 'wrong_client'
/** Either wrong credentials, or a portal that does not have the app installed. */
const INVALID_CLIENT = 'invalid_client'
/** No such token exists, so the response depends on the credentials alone. */
const PROBE_TOKEN = '0'.repeat(70)
const ADVICE = 'OAuth server rejected the app credentials: check clientId, clientSecret and the permissions of the app'

/**
 * Tracks whether OAuth servers accept the app's credentials, and caches rejections so that not every call repeats the request. State is per
 * process.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/oauth/error-codes.md
 */
export class AppCredentials {
  readonly #parts: AppCredentialsParts
  readonly #now: () => number
  readonly #servers = new Map<string, Server>()
  /** Keyed by `memberId`, or by `WRONG_CLIENT` for all portals. */
  readonly #rejections = new Map<string, { error: string, until: number }>()
  #isLogged = false

  constructor (parts: AppCredentialsParts) {
    this.#parts = parts
    this.#now = parts.now ?? Date.now
  }

  get state (): AppCredentialsState {
    const servers = [...this.#servers.values()]
    if (this.#rejections.has(WRONG_CLIENT) || servers.some(({ isRejected }) => isRejected)) return 'refused'
    return servers.some(({ acceptedAt }) => acceptedAt !== undefined) ? 'accepted' : 'unknown'
  }

  /** @throws FST_B24_APP_KEYS while a rejection is cached */
  check (memberId: string): void {
    for (const key of [WRONG_CLIENT, memberId]) {
      const rejection = this.#rejections.get(key)
      if (rejection === undefined) continue
      if (this.#now() < rejection.until) throw new FST_B24_APP_KEYS(rejection.error)
      this.#rejections.delete(key)
    }
  }

  /** Records that a server issued a token: the credentials are valid there. */
  accept (origin: string): void {
    const server = this.#serverOf(origin)
    if (server.isRejected === true) server.isProbeUseless = true
    this.#recordAcceptance(server)
  }

  /**
   * Records a rejection. `memberId` is `undefined` when only an unverified request names the portal.
   *
   * @throws FST_B24_APP_KEYS always
   */
  reject (memberId: string | undefined, error: string): never {
    const until = this.#now() + REJECTION_TTL_MS * (0.75 + Math.random() / 2)
    const key = error === WRONG_CLIENT ? WRONG_CLIENT : memberId
    if (key !== undefined) this.#rejections.set(key, { error, until })
    this.#logOnce(error, memberId)
    throw new FST_B24_APP_KEYS(error)
  }

  /**
   * Returns whether a rejected refresh means that the portal removed the app. Wrong credentials give the same error code, so it is only true
   * when the credentials are known to be valid.
   *
   * @throws FST_B24_OAUTH_UNAVAILABLE
   */
  async isAboutPortal (origin: string, error: string): Promise<boolean> {
    if (error !== INVALID_CLIENT) return false
    const server = this.#serverOf(origin)
    if (server.acceptedAt !== undefined && this.#now() - server.acceptedAt < ACCEPTANCE_TTL_MS) return true
    if (server.isProbeUseless !== true) await this.#probe(origin, server)
    return server.acceptedAt !== undefined && server.isRejected !== true
  }

  /** Checks the credentials once, in the background, and logs a rejection. Never throws. */
  probeOnce (origin: string): void {
    const server = this.#serverOf(origin)
    if (server.acceptedAt === undefined && server.isRejected !== true) this.#probe(origin, server).catch(() => {})
  }

  async #probe (origin: string, server: Server): Promise<void> {
    server.probing ??= this.#sendProbe(origin, server).finally(() => { server.probing = undefined })
    await server.probing
  }

  /** Consumes no token: OAuth servers check the client before its token. */
  async #sendProbe (origin: string, server: Server): Promise<void> {
    const { clientId, clientSecret, signal, dispatcher } = this.#parts
    const response = await refreshGrant({ origin, clientId, clientSecret, refreshToken: PROBE_TOKEN, signal, dispatcher })
    if (response.status === 'refused' && (response.error === WRONG_CLIENT || response.error === INVALID_CLIENT)) {
      server.isRejected = true
      this.#logOnce(response.error)
    } else if (response.status === 'ok' || response.errorClass !== 'config') {
      this.#recordAcceptance(server)
    }
  }

  #recordAcceptance (server: Server): void {
    server.acceptedAt = this.#now()
    server.isRejected = false
    this.#isLogged = false
    this.#rejections.delete(WRONG_CLIENT)
  }

  #logOnce (error: string, memberId?: string): void {
    if (!this.#isLogged) this.#parts.log.error({ ...(memberId !== undefined && { memberId }), error }, ADVICE)
    this.#isLogged = true
  }

  #serverOf (origin: string): Server {
    const server = this.#servers.get(origin) ?? {}
    this.#servers.set(origin, server)
    return server
  }
}

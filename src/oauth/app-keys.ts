import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_APP_KEYS } from '../errors.ts'
import type { HttpDispatcher } from '../http-dispatcher.ts'
import { refreshGrant } from './token-endpoint.ts'

export interface AppKeysParts {
  clientId: string
  clientSecret: string
  log: Pick<FastifyBaseLogger, 'error'>
  dispatcher?: HttpDispatcher | undefined
  /** Breaks off what is asked. */
  signal?: AbortSignal | undefined
  /** @default Date.now */
  now?: (() => number) | undefined
}

/** Whether an OAuth server took the app's `clientId` and `clientSecret`, as far as this process knows. */
export type AppKeyState = 'unknown' | 'accepted' | 'refused'

interface Server {
  acceptedAt?: number
  /** The server refused the keys when it was asked about them alone. */
  isRefused?: boolean
  /** It refused them, and took them afterwards: its answer to that question means nothing. */
  isMisleading?: boolean
  probing?: Promise<void> | undefined
}

/** How long a refusal is taken as known, in milliseconds; a quarter more or less at random, so that processes do not ask together. */
const HOLD_MS = 60_000
/** How long keys count as good after they were accepted, in milliseconds: they may be changed in Bitrix24 at any time. */
const RECENT_MS = 60_000
/** Can be about nothing but the app. */
const ABOUT_ALL = 'wrong_client'
/** About the keys, or about a portal where the app is not installed. */
const UNCLEAR = 'invalid_client'
/** A refresh token that nobody has: the answer tells only what the server thinks of the keys. */
const NOBODYS_TOKEN = '0'.repeat(70)
const ADVICE = 'OAuth server rejected the app credentials: check clientId, clientSecret and the permissions of the app'

/**
 * Knows whether OAuth servers accept the app's keys, and remembers refusals, so that not every call asks again. Each process
 * finds out by itself.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/oauth/error-codes.md
 */
export class AppKeys {
  readonly #parts: AppKeysParts
  readonly #now: () => number
  readonly #servers = new Map<string, Server>()
  /** By portal, or `ABOUT_ALL`. */
  readonly #refusals = new Map<string, { error: string, until: number }>()
  #isTold = false

  constructor (parts: AppKeysParts) {
    this.#parts = parts
    this.#now = parts.now ?? Date.now
  }

  get state (): AppKeyState {
    const servers = [...this.#servers.values()]
    if (this.#refusals.has(ABOUT_ALL) || servers.some(({ isRefused }) => isRefused)) return 'refused'
    return servers.some(({ acceptedAt }) => acceptedAt !== undefined) ? 'accepted' : 'unknown'
  }

  /** @throws FST_B24_APP_KEYS when the app was refused less than a minute ago */
  check (memberId: string): void {
    for (const about of [ABOUT_ALL, memberId]) {
      const refusal = this.#refusals.get(about)
      if (refusal === undefined) continue
      if (this.#now() < refusal.until) throw new FST_B24_APP_KEYS(refusal.error)
      this.#refusals.delete(about)
    }
  }

  /** A server issued a token: nothing is wrong with the keys. */
  accept (origin: string): void {
    const server = this.#serverOf(origin)
    if (server.isRefused === true) server.isMisleading = true
    this.#takeAccepted(server)
  }

  /** A server refused the app when it was asked for a portal, or for one that a post claims: `undefined`. @throws FST_B24_APP_KEYS always */
  refuse (memberId: string | undefined, error: string): never {
    const until = this.#now() + HOLD_MS * (0.75 + Math.random() / 2)
    const about = error === ABOUT_ALL ? ABOUT_ALL : memberId
    if (about !== undefined) this.#refusals.set(about, { error, until })
    this.#tell(error, memberId)
    throw new FST_B24_APP_KEYS(error)
  }

  /**
   * Returns whether a refusal of a refresh is about the portal: it has the app no more. The same word is said of wrong keys, so
   * the keys must have been accepted.
   *
   * @throws FST_B24_OAUTH_UNAVAILABLE
   */
  async isAboutPortal (origin: string, error: string): Promise<boolean> {
    if (error !== UNCLEAR) return false
    const server = this.#serverOf(origin)
    if (server.acceptedAt !== undefined && this.#now() - server.acceptedAt < RECENT_MS) return true
    if (server.isMisleading !== true) await this.#probe(origin, server)
    return server.acceptedAt !== undefined && server.isRefused !== true
  }

  /** Finds out about the keys once, in the background, and logs when they are refused. Never throws. */
  probeOnce (origin: string): void {
    const server = this.#serverOf(origin)
    if (server.acceptedAt === undefined && server.isRefused !== true) this.#probe(origin, server).catch(() => {})
  }

  async #probe (origin: string, server: Server): Promise<void> {
    server.probing ??= this.#ask(origin, server).finally(() => { server.probing = undefined })
    await server.probing
  }

  /** Uses up nothing: OAuth servers look at the keys of a client before they look at its token. */
  async #ask (origin: string, server: Server): Promise<void> {
    const { clientId, clientSecret, signal, dispatcher } = this.#parts
    const answer = await refreshGrant({ origin, clientId, clientSecret, refreshToken: NOBODYS_TOKEN, signal, dispatcher })
    if (answer.status === 'refused' && (answer.error === ABOUT_ALL || answer.error === UNCLEAR)) {
      server.isRefused = true
      this.#tell(answer.error)
    } else if (answer.status === 'ok' || answer.errorClass !== 'config') {
      this.#takeAccepted(server)
    }
  }

  #takeAccepted (server: Server): void {
    server.acceptedAt = this.#now()
    server.isRefused = false
    this.#isTold = false
    this.#refusals.delete(ABOUT_ALL)
  }

  #tell (error: string, memberId?: string): void {
    if (!this.#isTold) this.#parts.log.error({ ...(memberId !== undefined && { memberId }), error }, ADVICE)
    this.#isTold = true
  }

  #serverOf (origin: string): Server {
    const server = this.#servers.get(origin) ?? {}
    this.#servers.set(origin, server)
    return server
  }
}

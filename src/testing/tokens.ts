import { randomBytes } from 'node:crypto'

/** State of a portal at the OAuth server. */
export interface PortalState {
  readonly memberId: string
  readonly domain: string
  readonly clientEndpoint: string
  readonly scope: readonly string[]
  readonly status: string
  readonly version: number
  /** `false`: the OAuth server answers `PAYMENT_REQUIRED`. */
  readonly paid: boolean
  /** `false` until the install page has finished the install. */
  readonly installed: boolean
  /** `true`: the OAuth server answers `PORTAL_DELETED`. */
  readonly deleted: boolean
  /** Client ids of the apps that were uninstalled: the OAuth server answers `NOT_INSTALLED`. */
  readonly removedApps: ReadonlySet<string>
}

/** A token pair as stored by the OAuth server. */
export interface SimulatedPair {
  readonly portal: PortalState
  readonly clientId: string
  readonly userId: number
  readonly accessToken: string
  readonly refreshToken: string
  /** End of the access token, ms since the epoch. */
  expiresAt: number
  /** `false` after a refresh or an uninstall. */
  alive: boolean
}

const LIFETIME_MS = 3_600_000

/** Apps and token pairs of a simulator. */
export class TokenRegistry {
  readonly apps = new Map<string, string>()
  readonly #byAccess = new Map<string, SimulatedPair>()
  readonly #byRefresh = new Map<string, SimulatedPair>()
  readonly #secrets = new Set<string>()

  /** Registers a value that must never be logged. */
  rememberSecret (value: string): string {
    this.#secrets.add(value)
    return value
  }

  secrets (): string[] {
    return [...this.#secrets]
  }

  addApp (clientId: string, clientSecret: string): void {
    this.apps.set(clientId, this.rememberSecret(clientSecret))
  }

  issue (portal: PortalState, clientId: string, userId: number): SimulatedPair {
    const pair = {
      portal,
      clientId,
      userId,
      accessToken: this.#newToken(),
      refreshToken: this.#newToken(),
      expiresAt: Date.now() + LIFETIME_MS,
      alive: true
    }
    this.#byAccess.set(pair.accessToken, pair)
    this.#byRefresh.set(pair.refreshToken, pair)
    return pair
  }

  byAccess (token: string): SimulatedPair | undefined {
    return this.#byAccess.get(token)
  }

  byRefresh (token: string): SimulatedPair | undefined {
    return this.#byRefresh.get(token)
  }

  /** Replaces a pair by a new one of the same user, and revokes the old one. */
  rotate (pair: SimulatedPair): SimulatedPair {
    pair.alive = false
    return this.issue(pair.portal, pair.clientId, pair.userId)
  }

  * pairsOf (portal: PortalState, clientId?: string): Iterable<SimulatedPair> {
    for (const pair of this.#byAccess.values()) {
      if (pair.portal === portal && (clientId === undefined || pair.clientId === clientId)) yield pair
    }
  }

  #newToken (): string {
    return this.rememberSecret(randomBytes(35).toString('hex'))
  }
}

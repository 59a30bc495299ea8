import { hash, randomBytes } from 'node:crypto'
import { burst, type BurstOptions } from './burst.ts'
import { deliver, type Delivery, type Parcel } from './deliver.ts'
import { eventTree, fullAuth, minimalAuth, type SendOverrides } from './envelope.ts'
import { encodeForm } from './form.ts'
import { describePair } from './oauth-answers.ts'
import type { PortalState, SimulatedPair, TokenBook } from './tokens.ts'

/** One event for `sendMany`. */
export interface EventToSend {
  name: string
  data?: unknown
  overrides?: SendOverrides
}

/** An outgoing webhook: the portal's owner made it by hand, it has a token of its own and brings no OAuth tokens. */
export interface SimulatedWebhook {
  readonly applicationToken: string
  send (name: string, data?: unknown, overrides?: SendOverrides): Promise<Delivery>
}

/** What the portals of one simulator share. */
export interface PortalSurroundings {
  book: TokenBook
  clientId: string
  /** Origin of the OAuth server. */
  origin: string
}

interface Sender {
  token: string
  /** `false`: `auth` has no OAuth tokens, whoever acts. */
  brings: boolean
  /** Tells bindings of one event apart: each has a handler id of its own. */
  binding: string
}

const ADMIN = 1
const SYSTEM_USER = 1000

/** A portal that sends what Bitrix24 sends, as it sends it: never twice, and without waiting for the one before. */
export class SimulatedPortal implements PortalState {
  /** Stays when the portal is renamed; the same for one domain in every simulator, so that a test finds its records again. */
  readonly memberId: string
  /** Set another to rename the portal. */
  domain: string
  scope = ['crm', 'task', 'user']
  status = 'F'
  version = 1
  paid = true
  deleted = false
  readonly removedApps = new Set<string>()
  /** Where the portal sends events; set by `install`. */
  eventsUrl: string | undefined
  /** The pair that the newest install or update brought. */
  installer: SimulatedPair | undefined
  /** The pair of the system user that the newest ONAPPUSERREADY brought. */
  systemUser: SimulatedPair | undefined
  #applicationToken: string
  readonly #around: PortalSurroundings
  readonly #handlerIds = new Map<string, number>()
  readonly #eventPairs = new Map<number, SimulatedPair>()

  constructor (domain: string, around: PortalSurroundings) {
    this.domain = domain
    this.memberId = hash('md5', domain)
    this.#around = around
    this.#applicationToken = around.book.keepSecret(randomBytes(16).toString('hex'))
  }

  /** Proves the portal's events. Set another to see a token change, as after the app was deleted and added again. */
  get applicationToken (): string {
    return this.#applicationToken
  }

  set applicationToken (token: string) {
    this.#applicationToken = this.#around.book.keepSecret(token)
  }

  /** REST base of the portal. */
  get clientEndpoint (): string {
    return `https://${this.domain}/rest/`
  }

  /** Installs the app, again if it is there already, and sends ONAPPINSTALL. */
  async install (eventsUrl: string, overrides: SendOverrides = {}): Promise<Delivery> {
    this.eventsUrl = eventsUrl
    this.removedApps.delete(this.#around.clientId)
    const data = { VERSION: String(this.version), ACTIVE: 'Y', INSTALLED: 'Y', LANGUAGE_ID: 'en' }
    return await this.#sendAsInstaller('ONAPPINSTALL', data, overrides)
  }

  /** Installs the app again at the same URL, as after an uninstall or by installFinish. */
  async reinstall (overrides: SendOverrides = {}): Promise<Delivery> {
    return await this.install(this.#urlOf(overrides), overrides)
  }

  /** Moves the app to the next version and sends ONAPPUPDATE. */
  async update (overrides: SendOverrides = {}): Promise<Delivery> {
    const previous = this.version++
    const data = { VERSION: String(this.version), PREVIOUS_VERSION: String(previous), LANGUAGE_ID: 'en' }
    return await this.#sendAsInstaller('ONAPPUPDATE', data, overrides)
  }

  /** Makes the app's system user and sends ONAPPUSERREADY: his pair is in `data`, the installer's in `auth`. */
  async userReady (overrides: SendOverrides = {}): Promise<Delivery> {
    const { origin, clientId } = this.#around
    this.systemUser = this.#aged(this.issue({ userId: SYSTEM_USER }), overrides)
    const { expires: _, ...pair } = describePair(this.systemUser, origin)
    return await this.#sendAsInstaller('ONAPPUSERREADY', { ...pair, client_id: clientId, LANGUAGE_ID: 'en' }, overrides)
  }

  /** Uninstalls the app, so that all its tokens of this portal die, and sends ONAPPUNINSTALL. */
  async uninstall ({ clean = false, ...overrides }: SendOverrides & { clean?: boolean } = {}): Promise<Delivery> {
    const { book, clientId } = this.#around
    this.removedApps.add(clientId)
    for (const pair of book.pairsOf(this, clientId)) pair.alive = false
    const data = { LANGUAGE_ID: 'en', CLEAN: clean ? 1 : 0 }
    return await deliver(this.#pack('ONAPPUNINSTALL', data, overrides, this.#app({ brings: false })))
  }

  /** Sends an event, named in any case. What `data` holds goes out as PHP writes it. */
  async send (name: string, data?: unknown, overrides: SendOverrides = {}): Promise<Delivery> {
    return await deliver(this.#pack(name, data, overrides, this.#app()))
  }

  /** Sends many events at once; with copies and out of order on request. */
  async sendMany (events: Iterable<EventToSend>, options?: BurstOptions): Promise<Delivery[]> {
    const parcels = Array.from(events, ({ name, data, overrides = {} }) => this.#pack(name, data, overrides, this.#app()))
    return await burst(parcels, deliver, options)
  }

  /** Adds an outgoing webhook. */
  webhook (url: string, applicationToken = randomWebhookToken()): SimulatedWebhook {
    const sender = { token: this.#around.book.keepSecret(applicationToken), brings: false, binding: url }
    return {
      applicationToken,
      send: async (name, data, overrides = {}) => await deliver(this.#pack(name, data, { url, ...overrides }, sender))
    }
  }

  /** Makes a token pair at the OAuth server, such as one of another app or user. */
  issue ({ clientId = this.#around.clientId, userId = ADMIN }: { clientId?: string, userId?: number } = {}): SimulatedPair {
    return this.#around.book.issue(this, clientId, userId)
  }

  /** Ends the hour of all access tokens of this portal. Refresh tokens stay good. */
  expireTokens (): void {
    for (const pair of this.#around.book.pairsOf(this)) pair.expiresAt = Date.now() - 1
  }

  #app ({ brings = true } = {}): Sender {
    return { token: this.applicationToken, brings, binding: '' }
  }

  /** They lie in the queue for a second, so that an uninstall right after is a later one: `ts` counts whole seconds. */
  async #sendAsInstaller (code: string, data: object, sent: SendOverrides): Promise<Delivery> {
    const overrides = { lateSeconds: 1, ...sent }
    const pair = this.#aged(this.issue(overrides.user == null ? {} : { userId: overrides.user }), overrides)
    this.installer = pair
    return await deliver(this.#pack(code, data, overrides, this.#app(), pair))
  }

  #pack (name: string, data: unknown, overrides: SendOverrides, sender: Sender, pair = this.#pairFor(overrides, sender)): Parcel {
    const url = this.#urlOf(overrides)
    const { origin } = this.#around
    const code = name.toUpperCase()
    const tree = eventTree({
      code,
      data,
      handlerId: this.#handlerIdOf(code, sender.binding),
      ts: pair === undefined ? secondsAgo(overrides) : Math.floor(pair.expiresAt / 1000) - 3600,
      auth: pair === undefined ? minimalAuth(this, origin, sender.token) : fullAuth(code, pair, origin, sender.token)
    }, overrides)
    return { url, body: overrides.body ?? encodeForm(tree), headers: overrides.headers ?? {} }
  }

  /** Deliveries of one user within a second share a token, so that a burst does not fill the memory. */
  #pairFor (overrides: SendOverrides, { brings }: Sender): SimulatedPair | undefined {
    const { user = ADMIN, lateSeconds } = overrides
    if (!brings || user === null) return undefined
    if (lateSeconds !== undefined) return this.#aged(this.issue({ userId: user }), overrides)
    const known = this.#eventPairs.get(user)
    if (known?.alive === true && Math.floor(known.expiresAt / 1000) - 3600 === secondsAgo({})) return known
    const pair = this.issue({ userId: user })
    this.#eventPairs.set(user, pair)
    return pair
  }

  #aged (pair: SimulatedPair, { lateSeconds = 0 }: SendOverrides): SimulatedPair {
    pair.expiresAt -= lateSeconds * 1000
    return pair
  }

  #handlerIdOf (code: string, binding: string): number {
    const key = `${code} ${binding}`
    const id = this.#handlerIds.get(key) ?? this.#handlerIds.size * 2 + 58
    this.#handlerIds.set(key, id)
    return id
  }

  #urlOf ({ url = this.eventsUrl }: SendOverrides): string {
    if (url === undefined) throw new Error(`${this.domain} has no events URL: call install() first, or pass { url }`)
    return url
  }
}

function secondsAgo ({ lateSeconds = 0 }: SendOverrides): number {
  return Math.floor(Date.now() / 1000) - lateSeconds
}

/** 32 letters and digits, which need not be hex. */
function randomWebhookToken (): string {
  return Array.from(randomBytes(32), byte => (byte % 36).toString(36)).join('')
}

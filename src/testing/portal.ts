import { hash, randomBytes } from 'node:crypto'
import { Bindings } from './bindings.ts'
import { burst, type BurstOptions } from './burst.ts'
import { type BucketOptions, LeakyBucket } from './bucket.ts'
import { deliver, type Delivery } from './deliver.ts'
import type { SendOverrides } from './envelope.ts'
import { type Cause, EventBus } from './event-bus.ts'
import { type Fault, FaultList } from './faults.ts'
import { type Change, eventsOf, Items, type RaisedEvent } from './items.ts'
import { describePair } from './oauth-answers.ts'
import { OfflineEvents } from './offline-queue.ts'
import { OperatingTime } from './operating-time.ts'
import type { RestRecord } from './rest-record.ts'
import type { Row } from './row-query.ts'
import { type Identity, type PortalSurroundings, Sender } from './sender.ts'
import type { PortalState, SimulatedPair } from './tokens.ts'
import { ADMIN, type SimulatedUser, SYSTEM_USER, Users } from './users.ts'

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

/** A portal that sends what Bitrix24 sends, as it sends it: never twice, and without waiting for the one before. */
export class SimulatedPortal implements PortalState {
  /** Stays when the portal is renamed; the same for one domain in every simulator, so that a test finds its records again. */
  readonly memberId: string
  /** Set another to rename the portal; `rename` leaves a redirect behind. */
  domain: string
  scope = ['crm', 'task', 'user']
  status = 'F'
  version = 1
  paid = true
  deleted = false
  /** `false` until an app with an install page is finished with it: the portal sends nothing and queues nothing. */
  installed = true
  readonly removedApps = new Set<string>()
  /** What the portal's plan has, as `feature.get` tells. */
  readonly features = new Set(['rest_offline_extended', 'rest_auth_connector'])
  /** Where the portal sends events; set by `install`. */
  eventsUrl: string | undefined
  /** The pair that the newest install or update brought. */
  installer: SimulatedPair | undefined
  /** The pair of the system user that the newest ONAPPUSERREADY brought. */
  systemUser: SimulatedPair | undefined
  /** What REST was asked, in order; holds no secret. */
  readonly calls: RestRecord[] = []
  readonly bindings = new Bindings()
  readonly offlineEvents = new OfflineEvents()
  readonly items = new Items()
  readonly operating = new OperatingTime()
  /** How many calls REST bears. */
  bucket: LeakyBucket
  readonly faults = new FaultList<string>()
  /** Domains before the renames. */
  readonly formerDomains = new Set<string>()
  #applicationToken: string
  readonly #around: PortalSurroundings
  readonly #users = new Users()
  readonly #sender: Sender
  readonly #bus: EventBus

  constructor (domain: string, around: PortalSurroundings) {
    this.domain = domain
    this.memberId = hash('md5', domain)
    this.#around = around
    this.#applicationToken = around.book.keepSecret(randomBytes(16).toString('hex'))
    this.bucket = new LeakyBucket(around.limits)
    this.#sender = new Sender(this, around)
    this.#bus = new EventBus({
      clientId: around.clientId,
      bindings: this.bindings,
      queue: this.offlineEvents,
      delivers: () => this.installed && this.paid && !this.deleted && !this.removedApps.has(around.clientId),
      send: async ({ handler, userId }, { code, data }, user) => await this.#sender.send({
        name: code, data, overrides: { url: handler, user }, identity: this.#app({ binding: `${handler} ${userId}` })
      })
    })
  }

  /** Proves the portal's events. Set another to see a token change, as after the app was deleted and added again. */
  get applicationToken (): string {
    return this.#applicationToken
  }

  set applicationToken (token: string) {
    this.#applicationToken = this.#around.book.keepSecret(token)
  }

  /** REST base of the portal, at the simulator: an app that calls it must allow private networks. */
  get clientEndpoint (): string {
    return `${this.#around.origin}/portals/${this.domain}/rest/`
  }

  /** Installs the app, again if it is there already, and sends ONAPPINSTALL. */
  async install (eventsUrl: string, overrides: SendOverrides = {}): Promise<Delivery> {
    this.eventsUrl = eventsUrl
    this.installed = true
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
    this.systemUser = this.#sender.issueAged(SYSTEM_USER, overrides)
    const { expires: _, ...pair } = describePair(this.systemUser, origin)
    return await this.#sendAsInstaller('ONAPPUSERREADY', { ...pair, client_id: clientId, LANGUAGE_ID: 'en' }, overrides)
  }

  /** Uninstalls the app, so that all its tokens, bindings and waiting changes of this portal go, and sends ONAPPUNINSTALL. */
  async uninstall ({ clean = false, ...overrides }: SendOverrides & { clean?: boolean } = {}): Promise<Delivery> {
    const { book, clientId } = this.#around
    this.removedApps.add(clientId)
    for (const pair of book.pairsOf(this, clientId)) pair.alive = false
    this.bindings.remove({ clientId })
    this.offlineEvents.forget(clientId)
    return await this.#send('ONAPPUNINSTALL', { LANGUAGE_ID: 'en', CLEAN: clean ? 1 : 0 }, overrides, this.#app({ brings: false }))
  }

  /** Sends an event to the app, bound or not, named in any case. What `data` holds goes out as PHP writes it. */
  async send (name: string, data?: unknown, overrides: SendOverrides = {}): Promise<Delivery> {
    return await this.#send(name, data, overrides, this.#app())
  }

  /** Sends many events at once; with copies and out of order on request. */
  async sendMany (events: Iterable<EventToSend>, options?: BurstOptions): Promise<Delivery[]> {
    const identity = this.#app()
    const parcels = Array.from(events, ({ name, data, overrides = {} }) => this.#sender.pack({ name, data, overrides: this.#addressed(overrides), identity }))
    return await burst(parcels, deliver, options)
  }

  /** Adds an outgoing webhook. */
  webhook (url: string, applicationToken = randomWebhookToken()): SimulatedWebhook {
    const identity = { token: this.#around.book.keepSecret(applicationToken), brings: false, binding: url }
    return {
      applicationToken,
      send: async (name, data, overrides = {}) => await this.#send(name, data, { url, ...overrides }, identity)
    }
  }

  /**
   * Changes an item, which is made first when it is not there, and takes the event of the change to whatever is bound.
   *
   * @returns the deliveries, once all handlers have answered
   */
  async change (entityTypeId: number, id: number, fields: Row = {}, cause: Cause = { userId: ADMIN }): Promise<Delivery[]> {
    this.items.put(entityTypeId, id, fields)
    return await this.tell(entityTypeId, id, 'UPDATE', cause)
  }

  /** Takes the events of a change to whatever is bound. */
  async tell (entityTypeId: number, id: number, change: Change, cause: Cause = { userId: ADMIN }): Promise<Delivery[]> {
    const deliveries = await Promise.all(eventsOf(entityTypeId, id, change).map(async event => await this.raise(event, cause)))
    return deliveries.flat()
  }

  /** Takes an event to whatever is bound. */
  async raise (event: RaisedEvent, cause: Cause = { userId: ADMIN }): Promise<Delivery[]> {
    return await this.#bus.raise(event, cause)
  }

  /** Resolves when no event of a binding is on its way. */
  async settled (): Promise<void> {
    await this.#bus.settled()
  }

  /** A user of the portal, changed as told: `portal.user(2, { admin: true })`. */
  user (id: number, changes?: Partial<Omit<SimulatedUser, 'id'>>): SimulatedUser {
    return this.#users.get(id, changes)
  }

  /** Gives the portal another address; the old one redirects there. Tokens and `memberId` stay. */
  rename (domain: string): void {
    this.formerDomains.add(this.domain)
    this.domain = domain
  }

  /**
   * Makes a REST method misbehave.
   *
   * @returns a function that lifts the fault
   */
  fault (method: string, fault: Fault): () => void {
    return this.faults.add(method.toLowerCase(), fault)
  }

  /** Bears so many calls from now on. */
  limit (options: BucketOptions): void {
    this.bucket = new LeakyBucket(options)
  }

  /** Books operating time of a method of the app: over 480 seconds it is refused, until `resetMs` have passed. */
  spend (method: string, seconds: number, resetMs?: number): void {
    this.operating.spend(this.#around.clientId, method.toLowerCase(), seconds, resetMs)
  }

  /** Makes a token pair at the OAuth server, such as one of another app or user. */
  issue ({ clientId = this.#around.clientId, userId = ADMIN }: { clientId?: string, userId?: number } = {}): SimulatedPair {
    return this.#around.book.issue(this, clientId, userId)
  }

  /** Ends the hour of all access tokens of this portal. Refresh tokens stay good. */
  expireTokens (): void {
    for (const pair of this.#around.book.pairsOf(this)) pair.expiresAt = Date.now() - 1
  }

  #app ({ brings = true, binding = '' } = {}): Identity {
    return { token: this.applicationToken, brings, binding }
  }

  /** They lie in the queue for a second, so that an uninstall right after is a later one: `ts` counts whole seconds. */
  async #sendAsInstaller (name: string, data: object, sent: SendOverrides): Promise<Delivery> {
    const overrides = { lateSeconds: 1, ...sent }
    const pair = this.#sender.issueAged(overrides.user ?? ADMIN, overrides)
    this.installer = pair
    return await this.#sender.send({ name, data, overrides: this.#addressed(overrides), identity: this.#app(), pair })
  }

  async #send (name: string, data: unknown, overrides: SendOverrides, identity: Identity): Promise<Delivery> {
    return await this.#sender.send({ name, data, overrides: this.#addressed(overrides), identity })
  }

  #addressed (overrides: SendOverrides): SendOverrides & { url: string } {
    return { ...overrides, url: this.#urlOf(overrides) }
  }

  #urlOf ({ url = this.eventsUrl }: SendOverrides): string {
    if (url === undefined) throw new Error(`${this.domain} has no events URL: call install() first, or pass { url }`)
    return url
  }
}

/** 32 letters and digits, which need not be hex. */
function randomWebhookToken (): string {
  return Array.from(randomBytes(32), byte => (byte % 36).toString(36)).join('')
}

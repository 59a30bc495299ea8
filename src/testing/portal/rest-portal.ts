import { hash, randomBytes } from 'node:crypto'
import { Bindings, type Cause, EventBus } from './event-bus.ts'
import { type BucketOptions, LeakyBucket, limitsOf, OperatingTime } from './limits.ts'
import { answered, type Delivery } from './deliver.ts'
import { definitionOf } from '../../events/definitions.ts'
import { type Fault, FaultList } from '../faults.ts'
import { IdempotentAnswers, type ListedRows, type ListOptions, type MethodStub, MethodStubs, type RestRecord, type StubOptions } from './method-stubs.ts'
import { ImEvents, OfflineEvents } from './event-queues.ts'
import { type Change, type EmittedEvent, eventsOf, Items, newStatuses } from './items.ts'
import type { Row } from './row-query.ts'
import { type Identity, type PortalEnvironment, Sender } from './sender.ts'
import type { PortalState, SimulatedPair } from '../tokens.ts'
import { ADMIN, type SimulatedUser, Users } from './users.ts'

/** A portal as its REST sees it: users, items, what is bound, and what happens there. */
export class RestPortal implements PortalState {
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
  /** What REST was asked, in order; holds no secret. */
  readonly calls: RestRecord[] = []
  readonly bindings = new Bindings()
  readonly offlineEvents = new OfflineEvents()
  /** What users who subscribed fetch with `im.v2.Event.get`. */
  readonly imEvents = new ImEvents()
  readonly items = new Items()
  /** Tasks of REST 3, by their ids. */
  readonly tasks = new Map<number, Row>()
  /** Rows of `crm.status.list`, more than 50. */
  readonly statuses = newStatuses()
  /** Rows of `crm.address.list`, which have no id; none until a test adds them. */
  readonly addresses: Row[] = []
  readonly operating = new OperatingTime()
  /** How many calls REST bears. */
  bucket: LeakyBucket
  readonly faults = new FaultList<string>()
  /** Methods that a test answers itself. */
  readonly stubs = new MethodStubs<MethodStub | ListedRows>()
  /** Those of REST 3. */
  readonly stubsV3 = new MethodStubs<MethodStub>()
  readonly idempotentAnswers = new IdempotentAnswers()
  /** Domains before the renames. */
  readonly formerDomains = new Set<string>()
  protected readonly environment: PortalEnvironment
  protected readonly sender: Sender
  #applicationToken: string
  #license = 'pro100'
  readonly #users = new Users()
  readonly #bus: EventBus

  constructor (domain: string, around: PortalEnvironment) {
    this.domain = domain
    this.memberId = hash('md5', domain)
    this.environment = around
    this.#applicationToken = around.tokens.rememberSecret(randomBytes(16).toString('hex'))
    this.bucket = new LeakyBucket(around.limits)
    this.sender = new Sender(this, around)
    this.#bus = new EventBus({
      clientId: around.clientId,
      bindings: this.bindings,
      queue: this.offlineEvents,
      delivers: () => this.installed && this.paid && !this.deleted && !this.removedApps.has(around.clientId),
      send: async ({ handler, userId }, { code, data }, user) => await this.sender.send({
        name: code, data, overrides: { url: handler, user }, identity: this.app({ binding: `${handler} ${userId}` })
      })
    })
  }

  /** Proves the portal's events. Set another to see a token change, as after the app was deleted and added again. */
  get applicationToken (): string {
    return this.#applicationToken
  }

  set applicationToken (token: string) {
    this.#applicationToken = this.environment.tokens.rememberSecret(token)
  }

  /** Plan of the portal, as `app.info` tells it: `pro100`, `ent250`. Set another, and REST bears as many calls as that plan: 250 and 5 a second for `ent…`. */
  get license (): string {
    return this.#license
  }

  set license (license: string) {
    this.#license = license
    this.limit(limitsOf(license))
  }

  /** REST base of the portal, at the simulator: an app that calls it must allow private networks. */
  get clientEndpoint (): string {
    return `${this.environment.origin}/portals/${this.domain}/rest/`
  }

  /**
   * Changes an item and takes the event of the change to whatever is bound; one that is not there is made first, with an event of its own.
   * Fields that have these values already are no change: then nothing happens. Without fields it is something else of the item that changes.
   *
   * @returns the deliveries, once all handlers have answered
   * @throws UnansweredError
   */
  async change (entityTypeId: number, id: number, fields: Row = {}, cause: Cause = { userId: ADMIN }): Promise<Delivery[]> {
    const isNew = this.items.get(entityTypeId, id) === undefined
    if (isNew) this.items.set(entityTypeId, id)
    const isElse = Object.keys(fields).length === 0
    if (isElse) this.items.touch(entityTypeId, id)
    const isChanged = isElse || this.items.update(entityTypeId, id, fields)
    const added = isNew ? eventsOf(entityTypeId, id, 'ADD') : []
    return await this.#emitAll([...added, ...isChanged ? eventsOf(entityTypeId, id, 'UPDATE') : []], cause)
  }

  /**
   * Takes the events of a change to whatever is bound.
   * @throws UnansweredError
   */
  async emitChange (entityTypeId: number, id: number, change: Change, cause: Cause = { userId: ADMIN }): Promise<Delivery[]> {
    return await this.#emitAll(eventsOf(entityTypeId, id, change), cause)
  }

  /**
   * Takes an event to whatever is bound. Events of chats (`onImV2…`) are never posted: they wait for `im.v2.Event.get`.
   * @throws UnansweredError
   */
  async emit (event: EmittedEvent, cause: Cause = { userId: ADMIN }): Promise<Delivery[]> {
    return await this.#emitAll([event], cause)
  }

  /** As `raise`, for what nobody waits for: it is no error that a delivery has no answer. */
  async emitUnchecked ({ code, data }: EmittedEvent, cause: Cause): Promise<Delivery[]> {
    const event = { code: code.toUpperCase(), data }
    if (definitionOf(event.code)?.delivery !== 'fetch') return await this.#bus.emit(event, cause)
    this.imEvents.add(event)
    return []
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

  /** The users that are known so far: each that acted or was named. */
  users (): SimulatedUser[] {
    this.user(ADMIN)
    return this.#users.all()
  }

  /**
   * Answers a method that the simulator does not know, or knows otherwise.
   *
   * @returns a function that ends it
   */
  stub (method: string, answer: MethodStub, { version = 2 }: StubOptions = {}): () => void {
    return version === 3 ? this.stubsV3.set(method, answer) : this.stubs.set(method, answer)
  }

  /**
   * Answers a method as lists are: by `filter`, `order`, `select` and `start`, with `total` and `next`. Rows may be added later.
   *
   * @returns a function that ends it
   */
  stubList (method: string, rows: readonly Row[], options: ListOptions = {}): () => void {
    return this.stubs.set(method, { ...options, rows })
  }

  /**
   * Makes a REST method misbehave, or with `'*'` every one.
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
    this.operating.spend(this.environment.clientId, method.toLowerCase(), seconds, resetMs)
  }

  /** Makes a token pair at the OAuth server, such as one of another app or user. */
  issue ({ clientId = this.environment.clientId, userId = ADMIN }: { clientId?: string, userId?: number } = {}): SimulatedPair {
    return this.environment.tokens.issue(this, clientId, userId)
  }

  /** Ends the hour of all access tokens of this portal. Refresh tokens stay good. */
  expireTokens (): void {
    for (const pair of this.environment.tokens.pairsOf(this)) pair.expiresAt = Date.now() - 1
  }

  async #emitAll (events: EmittedEvent[], cause: Cause): Promise<Delivery[]> {
    const deliveries = await Promise.all(events.map(async event => await this.emitUnchecked(event, cause)))
    return answered(events[0]?.code ?? 'change()', deliveries.flat())
  }

  /** As whom the app's own events are sent. */
  protected app ({ sendsTokens = true, binding = '' } = {}): Identity {
    return { token: this.applicationToken, sendsTokens, binding }
  }
}

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

/** The REST side of a portal: users, items, bindings and events. */
export class RestPortal implements PortalState {
  /** Unchanged when the portal is renamed. Derived from the domain, so that it is the same in every simulator. */
  readonly memberId: string
  /** Can be set to rename the portal; `rename` also adds a redirect. */
  domain: string
  scope = ['crm', 'task', 'user']
  status = 'F'
  version = 1
  paid = true
  deleted = false
  /** `false` until the install page has finished the install: the portal sends and queues no events. */
  installed = true
  readonly removedApps = new Set<string>()
  /** Features of the portal's plan, for `feature.get`. */
  readonly features = new Set(['rest_offline_extended', 'rest_auth_connector'])
  /** REST requests, in order; contains no secret. */
  readonly calls: RestRecord[] = []
  readonly bindings = new Bindings()
  readonly offlineEvents = new OfflineEvents()
  /** Chat events that subscribed users fetch with `im.v2.Event.get`. */
  readonly imEvents = new ImEvents()
  readonly items = new Items()
  /** Tasks of REST 3, by id. */
  readonly tasks = new Map<number, Row>()
  /** Rows of `crm.status.list`, more than 50. */
  readonly statuses = newStatuses()
  /** Rows of `crm.address.list`, which have no id; empty by default. */
  readonly addresses: Row[] = []
  readonly operating = new OperatingTime()
  /** Rate limit of REST. */
  bucket: LeakyBucket
  readonly faults = new FaultList<string>()
  /** Stubbed REST methods. */
  readonly stubs = new MethodStubs<MethodStub | ListedRows>()
  /** Stubbed methods of REST 3. */
  readonly stubsV3 = new MethodStubs<MethodStub>()
  readonly idempotentAnswers = new IdempotentAnswers()
  /** Domains before renames. */
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

  /** Verifies the portal's events. Set another to simulate a token change, as after the app was deleted and added again. */
  get applicationToken (): string {
    return this.#applicationToken
  }

  set applicationToken (token: string) {
    this.#applicationToken = this.environment.tokens.rememberSecret(token)
  }

  /** Plan of the portal, as in `app.info`: `pro100`, `ent250`. Setting it also sets the plan's rate limit: 250 and 5 per second for `ent…`. */
  get license (): string {
    return this.#license
  }

  set license (license: string) {
    this.#license = license
    this.limit(limitsOf(license))
  }

  /** REST base URL of the portal on the simulator; the app must allow private networks. */
  get clientEndpoint (): string {
    return `${this.environment.origin}/portals/${this.domain}/rest/`
  }

  /**
   * Changes an item and sends the event to its bindings. A missing item is created first, with an event of its own. Nothing happens if the
   * fields already have these values. Without fields, something else of the item changes.
   *
   * @returns the deliveries, once all handlers have responded
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
   * Sends the events of a change to their bindings.
   * @throws UnansweredError
   */
  async emitChange (entityTypeId: number, id: number, change: Change, cause: Cause = { userId: ADMIN }): Promise<Delivery[]> {
    return await this.#emitAll(eventsOf(entityTypeId, id, change), cause)
  }

  /**
   * Sends an event to its bindings. Chat events (`onImV2…`) are not sent but wait for `im.v2.Event.get`.
   * @throws UnansweredError
   */
  async emit (event: EmittedEvent, cause: Cause = { userId: ADMIN }): Promise<Delivery[]> {
    return await this.#emitAll([event], cause)
  }

  /** Like `emit`, but deliveries without a response are not an error. */
  async emitUnchecked ({ code, data }: EmittedEvent, cause: Cause): Promise<Delivery[]> {
    const event = { code: code.toUpperCase(), data }
    if (definitionOf(event.code)?.delivery !== 'fetch') return await this.#bus.emit(event, cause)
    this.imEvents.add(event)
    return []
  }

  /** Resolves when no delivery is in progress. */
  async settled (): Promise<void> {
    await this.#bus.settled()
  }

  /** Returns a user of the portal with changes applied: `portal.user(2, { admin: true })`. */
  user (id: number, changes?: Partial<Omit<SimulatedUser, 'id'>>): SimulatedUser {
    return this.#users.get(id, changes)
  }

  /** Changes the domain of the portal; the old one redirects there. Tokens and `memberId` are kept. */
  rename (domain: string): void {
    this.formerDomains.add(this.domain)
    this.domain = domain
  }

  /** Returns all users that have acted or were created. */
  users (): SimulatedUser[] {
    this.user(ADMIN)
    return this.#users.all()
  }

  /**
   * Stubs a REST method, replacing the simulator's implementation if there is one.
   *
   * @returns a function that removes the stub
   */
  stub (method: string, answer: MethodStub, { version = 2 }: StubOptions = {}): () => void {
    return version === 3 ? this.stubsV3.set(method, answer) : this.stubs.set(method, answer)
  }

  /**
   * Stubs a list method, with `filter`, `order`, `select`, `start`, `total` and `next`. Rows may be added later.
   *
   * @returns a function that removes the stub
   */
  stubList (method: string, rows: readonly Row[], options: ListOptions = {}): () => void {
    return this.stubs.set(method, { ...options, rows })
  }

  /**
   * Adds a fault to a REST method, or to all of them with `'*'`.
   *
   * @returns a function that removes the fault
   */
  fault (method: string, fault: Fault): () => void {
    return this.faults.add(method.toLowerCase(), fault)
  }

  /** Sets the rate limit of REST. */
  limit (options: BucketOptions): void {
    this.bucket = new LeakyBucket(options)
  }

  /** Adds operating time to a method of the app; above 480 seconds it is rejected until `resetMs` have passed. */
  spend (method: string, seconds: number, resetMs?: number): void {
    this.operating.spend(this.environment.clientId, method.toLowerCase(), seconds, resetMs)
  }

  /** Issues a token pair, possibly for another app or user. */
  issue ({ clientId = this.environment.clientId, userId = ADMIN }: { clientId?: string, userId?: number } = {}): SimulatedPair {
    return this.environment.tokens.issue(this, clientId, userId)
  }

  /** Expires all access tokens of this portal. Refresh tokens stay valid. */
  expireTokens (): void {
    for (const pair of this.environment.tokens.pairsOf(this)) pair.expiresAt = Date.now() - 1
  }

  async #emitAll (events: EmittedEvent[], cause: Cause): Promise<Delivery[]> {
    const deliveries = await Promise.all(events.map(async event => await this.emitUnchecked(event, cause)))
    return answered(events[0]?.code ?? 'change()', deliveries.flat())
  }

  /** Sender identity of the app's events. */
  protected app ({ sendsTokens = true, binding = '' } = {}): Identity {
    return { token: this.applicationToken, sendsTokens, binding }
  }
}

import { hash, randomBytes } from 'node:crypto'
import { Bindings } from './bindings.ts'
import { type BucketOptions, LeakyBucket } from './bucket.ts'
import type { Delivery } from './deliver.ts'
import { type Cause, EventBus } from './event-bus.ts'
import { type Fault, FaultList } from '../faults.ts'
import { type Change, eventsOf, Items, type RaisedEvent } from './items.ts'
import { OfflineEvents } from './offline-queue.ts'
import { OperatingTime } from './operating-time.ts'
import type { RestRecord } from './rest-record.ts'
import type { Row } from './row-query.ts'
import { type Identity, type PortalSurroundings, Sender } from './sender.ts'
import type { PortalState, SimulatedPair } from '../tokens.ts'
import { ADMIN, type SimulatedUser, Users } from './users.ts'

/**
 * Answers a REST method: gets the parameters, which are text inside of a batch, and who calls; gives the `result`. A `RestError` that it
 * throws is the refusal of the portal.
 */
export type MethodAnswer = (params: Row, user: SimulatedUser) => unknown

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
  readonly items = new Items()
  readonly operating = new OperatingTime()
  /** How many calls REST bears. */
  bucket: LeakyBucket
  readonly faults = new FaultList<string>()
  readonly answers = new Map<string, MethodAnswer>()
  /** Domains before the renames. */
  readonly formerDomains = new Set<string>()
  protected readonly around: PortalSurroundings
  protected readonly sender: Sender
  #applicationToken: string
  readonly #users = new Users()
  readonly #bus: EventBus

  constructor (domain: string, around: PortalSurroundings) {
    this.domain = domain
    this.memberId = hash('md5', domain)
    this.around = around
    this.#applicationToken = around.book.keepSecret(randomBytes(16).toString('hex'))
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
    this.#applicationToken = this.around.book.keepSecret(token)
  }

  /** REST base of the portal, at the simulator: an app that calls it must allow private networks. */
  get clientEndpoint (): string {
    return `${this.around.origin}/portals/${this.domain}/rest/`
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

  /** Answers a method that the simulator does not know, or knows otherwise, for as long as the portal is there. */
  answer (method: string, answer: MethodAnswer): void {
    this.answers.set(method.toLowerCase(), answer)
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
    this.operating.spend(this.around.clientId, method.toLowerCase(), seconds, resetMs)
  }

  /** Makes a token pair at the OAuth server, such as one of another app or user. */
  issue ({ clientId = this.around.clientId, userId = ADMIN }: { clientId?: string, userId?: number } = {}): SimulatedPair {
    return this.around.book.issue(this, clientId, userId)
  }

  /** Ends the hour of all access tokens of this portal. Refresh tokens stay good. */
  expireTokens (): void {
    for (const pair of this.around.book.pairsOf(this)) pair.expiresAt = Date.now() - 1
  }

  /** As whom the app's own events are sent. */
  protected app ({ brings = true, binding = '' } = {}): Identity {
    return { token: this.applicationToken, brings, binding }
  }
}

import type { BucketOptions } from './bucket.ts'
import { deliver, type Delivery, type Parcel } from './deliver.ts'
import { eventTree, fullAuth, minimalAuth, type SendOverrides } from './envelope.ts'
import { encodeForm } from './form.ts'
import type { PortalState, SimulatedPair, TokenBook } from '../tokens.ts'
import { ADMIN } from './users.ts'

/** What the portals of one simulator share. */
export interface PortalSurroundings {
  book: TokenBook
  clientId: string
  /** Origin of the OAuth server, and of every portal's REST. */
  origin: string
  /** Calls that each portal bears. */
  limits?: BucketOptions | undefined
}

/** As whom a portal sends. */
export interface Identity {
  token: string
  /** `false`: `auth` has no OAuth tokens, whoever acts. */
  brings: boolean
  /** Tells bindings of one event apart: each has a handler id of its own. */
  binding: string
}

/** One event to send, to the URL of its binding. */
export interface Letter {
  name: string
  data?: unknown
  overrides: SendOverrides & { url: string }
  identity: Identity
  /** Pair whose tokens go with it, whoever acts. */
  pair?: SimulatedPair | undefined
}

/** Writes the posts of one portal: tokens of the user who acts, a handler id for each binding. */
export class Sender {
  readonly #portal: PortalState
  readonly #around: PortalSurroundings
  readonly #handlerIds = new Map<string, number>()
  readonly #eventPairs = new Map<number, SimulatedPair>()

  constructor (portal: PortalState, around: PortalSurroundings) {
    this.#portal = portal
    this.#around = around
  }

  async send (letter: Letter): Promise<Delivery> {
    return await deliver(this.pack(letter))
  }

  pack ({ name, data, overrides, identity, pair = this.#pairFor(overrides, identity) }: Letter): Parcel {
    const { origin } = this.#around
    const code = name.toUpperCase()
    const tree = eventTree({
      code,
      data,
      handlerId: this.#handlerIdOf(code, identity.binding),
      ts: pair === undefined ? secondsAgo(overrides) : Math.floor(pair.expiresAt / 1000) - 3600,
      auth: pair === undefined ? minimalAuth(this.#portal, origin, identity.token) : fullAuth(code, pair, origin, identity.token)
    }, overrides)
    return { url: overrides.url, body: overrides.body ?? encodeForm(tree), headers: overrides.headers ?? {} }
  }

  /** A new pair of the app, as old as the sending is late. */
  issueAged (userId: number, { lateSeconds = 0 }: SendOverrides): SimulatedPair {
    const pair = this.#around.book.issue(this.#portal, this.#around.clientId, userId)
    pair.expiresAt -= lateSeconds * 1000
    return pair
  }

  /** Deliveries of one user within a second share a token, so that a burst does not fill the memory. */
  #pairFor (overrides: SendOverrides, { brings }: Identity): SimulatedPair | undefined {
    const { user = ADMIN, lateSeconds } = overrides
    if (!brings || user === null) return undefined
    if (lateSeconds !== undefined) return this.issueAged(user, overrides)
    const known = this.#eventPairs.get(user)
    if (known?.alive === true && Math.floor(known.expiresAt / 1000) - 3600 === secondsAgo({})) return known
    const pair = this.issueAged(user, {})
    this.#eventPairs.set(user, pair)
    return pair
  }

  #handlerIdOf (code: string, binding: string): number {
    const key = `${code} ${binding}`
    const id = this.#handlerIds.get(key) ?? this.#handlerIds.size * 2 + 58
    this.#handlerIds.set(key, id)
    return id
  }
}

function secondsAgo ({ lateSeconds = 0 }: SendOverrides): number {
  return Math.floor(Date.now() / 1000) - lateSeconds
}

import { describePair } from '../oauth/oauth-answers.ts'
import type { PortalState, SimulatedPair, TokenRegistry } from '../tokens.ts'
import { deliver, type Delivery, type OutgoingRequest } from './deliver.ts'
import { encodeForm } from './form.ts'
import type { BucketOptions } from './limits.ts'
import { ADMIN } from './users.ts'

/** What the portals of one simulator share. */
export interface PortalEnvironment {
  tokens: TokenRegistry
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
  sendsTokens: boolean
  /** Tells bindings of one event apart: each has a handler id of its own. */
  binding: string
}

/** One event to send, to the URL of its binding. */
export interface OutgoingEvent {
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
  readonly #environment: PortalEnvironment
  readonly #handlerIds = new Map<string, number>()
  readonly #eventPairs = new Map<number, SimulatedPair>()

  constructor (portal: PortalState, environment: PortalEnvironment) {
    this.#portal = portal
    this.#environment = environment
  }

  async send (event: OutgoingEvent): Promise<Delivery> {
    return await deliver(this.requestFor(event))
  }

  requestFor ({ name, data, overrides, identity, pair = this.#pairFor(overrides, identity) }: OutgoingEvent): OutgoingRequest {
    const { origin } = this.#environment
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
    const pair = this.#environment.tokens.issue(this.#portal, this.#environment.clientId, userId)
    pair.expiresAt -= lateSeconds * 1000
    return pair
  }

  /** Deliveries of one user within a second share a token, so that a burst does not fill the memory. */
  #pairFor (overrides: SendOverrides, { sendsTokens }: Identity): SimulatedPair | undefined {
    const { user = ADMIN, lateSeconds } = overrides
    if (!sendsTokens || user === null) return undefined
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

/** Changes one sending, to forge it or to make it late. */
export interface SendOverrides {
  /** @default the URL that the app was installed with */
  url?: string
  /**
   * User who acts; `null` for nobody (a robot, an import): then no tokens are sent.
   * @default 1, the admin who installed the app
   */
  user?: number | null
  /** Seconds that it lay in the queue: `ts` and the tokens are that old. 3600 and the access token has expired. */
  lateSeconds?: number
  /** Unix seconds. */
  ts?: number | null
  handlerId?: number | null
  /** Put over the data; `null` leaves a key out, as PHP does. */
  data?: Record<string, unknown>
  /** Put over `auth`; `null` for a key leaves it out, `null` for the whole leaves `auth` out. */
  auth?: Record<string, unknown> | null
  /** Put over the top level: `event`, or keys that no genuine post has. */
  fields?: Record<string, unknown>
  headers?: Record<string, string>
  /** Sent instead of everything above. */
  body?: string | Buffer
}

export interface EventParts {
  code: string
  handlerId: number
  data: unknown
  auth: Record<string, unknown>
  ts: number
}

/** Events whose `auth` sendsTokens a refresh token, so that the app may keep the pair. */
const BRINGS_REFRESH_TOKEN =
  /^ON(APP(INSTALL|UPDATE|USERREADY|TEST)|SUBSCRIPTIONRENEW|OFFLINEEVENT|CALENDAR\w+|IM(BOT(V2)?(MESSAGE\w+|CONTEXTGET|COMMANDADD|REACTIONCHANGE)|COMMANDADD))$/

/** `auth` of an event that a user caused. */
export function fullAuth (code: string, pair: SimulatedPair, origin: string, applicationToken: string): Record<string, unknown> {
  const { refresh_token: refreshToken, ...auth } = describePair(pair, origin)
  return {
    ...auth,
    domain: pair.portal.domain,
    ...(BRINGS_REFRESH_TOKEN.test(code) && { refresh_token: refreshToken }),
    application_token: applicationToken
  }
}

/** `auth` of an event without a user, of ONAPPUNINSTALL and of an outgoing webhook. */
export function minimalAuth (portal: PortalState, origin: string, applicationToken: string): Record<string, unknown> {
  return {
    domain: portal.domain,
    client_endpoint: portal.clientEndpoint,
    server_endpoint: `${origin}/rest/`,
    member_id: portal.memberId,
    application_token: applicationToken
  }
}

/** The post as Bitrix24 orders it. */
export function eventTree (parts: EventParts, overrides: SendOverrides): Record<string, unknown> {
  const { handlerId = parts.handlerId, ts = parts.ts, auth, data, fields } = overrides
  return {
    event: parts.code,
    event_handler_id: handlerId,
    data: data === undefined ? parts.data : { ...parts.data as object | undefined, ...data },
    ts,
    auth: auth === null ? null : { ...parts.auth, ...auth },
    ...fields
  }
}

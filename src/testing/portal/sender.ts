import { describePair } from '../oauth/oauth-answers.ts'
import type { PortalState, SimulatedPair, TokenRegistry } from '../tokens.ts'
import { deliver, type Delivery, type OutgoingRequest } from './deliver.ts'
import { encodeForm } from './form.ts'
import type { BucketOptions } from './limits.ts'
import { ADMIN } from './users.ts'

/** Shared by the portals of a simulator. */
export interface PortalEnvironment {
  tokens: TokenRegistry
  clientId: string
  /** Origin of the OAuth server, and of every portal's REST. */
  origin: string
  /** Rate limit of each portal. */
  limits?: BucketOptions | undefined
}

/** Sender identity of an event. */
export interface Identity {
  token: string
  /** `false`: `auth` never has OAuth tokens. */
  sendsTokens: boolean
  /** Distinguishes bindings of an event, each of which has its own handler id. */
  binding: string
}

/** An event to send to the URL of its binding. */
export interface OutgoingEvent {
  name: string
  data?: unknown
  overrides: SendOverrides & { url: string }
  identity: Identity
  /** Token pair to send, regardless of the acting user. */
  pair?: SimulatedPair | undefined
}

/** Creates and sends the requests of a portal, with tokens of the acting user and a handler id per binding. */
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

  /** Issues a pair that is as old as the delivery is late. */
  issueAged (userId: number, { lateSeconds = 0 }: SendOverrides): SimulatedPair {
    const pair = this.#environment.tokens.issue(this.#portal, this.#environment.clientId, userId)
    pair.expiresAt -= lateSeconds * 1000
    return pair
  }

  /** Deliveries of a user within a second share a pair, to save memory in a burst. */
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

/** Overrides of a delivery, to forge or delay it. */
export interface SendOverrides {
  /** @default the URL that the app was installed with */
  url?: string
  /**
   * Acting user; `null` for none (a robot, an import), so that no tokens are sent.
   * @default 1, the admin who installed the app
   */
  user?: number | null
  /** Age of `ts` and the tokens, in seconds, as after waiting in the queue. At 3600 the access token has expired. */
  lateSeconds?: number
  /** Unix seconds. */
  ts?: number | null
  handlerId?: number | null
  /** Merged into the data; `null` omits a key, as PHP does. */
  data?: Record<string, unknown>
  /** Merged into `auth`; `null` for a key omits it, `null` omits `auth`. */
  auth?: Record<string, unknown> | null
  /** Merged into the top level: `event`, or keys that no genuine request has. */
  fields?: Record<string, unknown>
  headers?: Record<string, string>
  /** Replaces the whole body. */
  body?: string | Buffer
}

export interface EventParts {
  code: string
  handlerId: number
  data: unknown
  auth: Record<string, unknown>
  ts: number
}

/** Events whose `auth` has a refresh token. */
const BRINGS_REFRESH_TOKEN =
  /^ON(APP(INSTALL|UPDATE|USERREADY|TEST)|SUBSCRIPTIONRENEW|OFFLINEEVENT|CALENDAR\w+|IM(BOT(V2)?(MESSAGE\w+|CONTEXTGET|COMMANDADD|REACTIONCHANGE)|COMMANDADD))$/

/** Returns `auth` of an event caused by a user. */
export function fullAuth (code: string, pair: SimulatedPair, origin: string, applicationToken: string): Record<string, unknown> {
  const { refresh_token: refreshToken, ...auth } = describePair(pair, origin)
  return {
    ...auth,
    domain: pair.portal.domain,
    ...(BRINGS_REFRESH_TOKEN.test(code) && { refresh_token: refreshToken }),
    application_token: applicationToken
  }
}

/** Returns `auth` of an event without a user, of ONAPPUNINSTALL and of outgoing webhooks. */
export function minimalAuth (portal: PortalState, origin: string, applicationToken: string): Record<string, unknown> {
  return {
    domain: portal.domain,
    client_endpoint: portal.clientEndpoint,
    server_endpoint: `${origin}/rest/`,
    member_id: portal.memberId,
    application_token: applicationToken
  }
}

/** Returns the body of an event in Bitrix24's order. */
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

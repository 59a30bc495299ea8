import { describePair } from '../oauth/oauth-answers.ts'
import type { PortalState, SimulatedPair } from '../tokens.ts'

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

/** Events whose `auth` brings a refresh token, so that the app may keep the pair. */
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

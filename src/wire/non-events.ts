import { MEMBER_ID } from './envelope.ts'

interface Callback {
  name: string
  /** Keys that the post has at the top level, all of them. */
  keys: readonly string[]
}

// In this order: a message that a workflow sends has the keys of a robot too.
const CALLBACKS: readonly Callback[] = [
  { name: 'the save of a settings form', keys: ['saveform'] },
  { name: 'a message provider', keys: ['message_id', 'message_to'] },
  { name: 'a robot or an activity', keys: ['event_token'] },
  { name: 'a robot or an activity', keys: ['workflow_id'] },
  { name: 'a robot or an activity', keys: ['document_id', 'properties'] },
  { name: 'a placement or an application page', keys: ['AUTH_ID'] },
  { name: 'a placement or an application page', keys: ['REFRESH_ID'] },
  { name: 'a placement or an application page', keys: ['PLACEMENT'] },
  { name: 'a placement or an application page', keys: ['PLACEMENT_OPTIONS'] },
  { name: 'a placement or an application page', keys: ['APPLICATION_TOKEN'] },
  { name: 'a delivery service', keys: ['SHIPMENT'] },
  { name: 'a delivery service', keys: ['SHIPMENTS'] },
  { name: 'a delivery service', keys: ['DELIVERY_ID', 'REQUEST_ID'] },
  { name: 'a cash register', keys: ['uuid'] },
  { name: 'a payment system', keys: ['BX_SYSTEM_PARAMS'] },
  { name: 'a payment system', keys: ['BX_PAYSYSTEM_ID'] },
  { name: 'an AI provider', keys: ['prompt', 'callbackUrl'] },
  { name: 'a BI connector', keys: ['connection'] }
]

/**
 * Names a post from Bitrix24 that is not an event, by its shape: `a robot or an activity`. `undefined` for an event, and for what
 * has no known shape. Of the posts that are no events only the settings form has `event`, with codes that no event has.
 * @see https://apidocs.bitrix24.com/settings/app-installation/mass-market-apps/rest-only-installation-master.html
 */
export function describeNonEvent (body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null) return undefined
  const event: unknown = 'event' in body ? body.event : undefined
  if (event === undefined) return CALLBACKS.find(({ keys }) => keys.every(key => Object.hasOwn(body, key)))?.name
  return typeof event === 'string' && event.toLowerCase().startsWith('onappsettings') ? 'the settings form' : undefined
}

/**
 * What a user's browser posts into the frame of an app: its install page, its own page, a placement. Nothing of it is
 * believed before an OAuth server has confirmed the pair.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/oauth/simple-way.md
 */
export interface PageRequest {
  memberId: string
  /** Pair of the user who opened the page. Secrets, as is the application token. */
  accessToken: unknown
  refreshToken: unknown
  serverEndpoint: unknown
  /** `undefined` from portals on servers of their own that are old. */
  applicationToken: string | undefined
}

/** Largest form of a page, in bytes: the documented ones have some 1,500. */
export const MAX_PAGE_BYTES = 32 * 1024

const LONGEST_TOKEN = 512
const KEYS = ['AUTH_ID', 'REFRESH_ID', 'PLACEMENT', 'APPLICATION_TOKEN']

/** Tells such a post from an event, by its shape. */
export function isPageRequest (body: unknown): body is Record<string, unknown> {
  return typeof body === 'object' && body !== null && !Object.hasOwn(body, 'event') && KEYS.some(key => Object.hasOwn(body, key))
}

/** Reads the body of such a post; `undefined` where it names no portal. */
export function readPageRequest (body: Record<string, unknown>): PageRequest | undefined {
  const { member_id: memberId, AUTH_ID: accessToken, REFRESH_ID: refreshToken, SERVER_ENDPOINT: serverEndpoint, APPLICATION_TOKEN: token } = body
  if (typeof memberId !== 'string' || !MEMBER_ID.test(memberId)) return undefined
  const applicationToken = typeof token === 'string' && token !== '' && token.length <= LONGEST_TOKEN ? token : undefined
  return { memberId, accessToken, refreshToken, serverEndpoint, applicationToken }
}

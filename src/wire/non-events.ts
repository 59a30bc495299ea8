import { MEMBER_ID } from './envelope.ts'

interface Callback {
  name: string
  /** Top-level keys of the body, all of which must be present. */
  keys: readonly string[]
}

// The order matters: a message sent by a workflow has the keys of a robot too.
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
 * Names a request from Bitrix24 that is not an event, by the shape of its body: `a robot or an activity`. Returns `undefined` for
 * events and unknown shapes. Among non-events only the settings form has `event`, with codes that no event uses.
 * @see https://apidocs.bitrix24.com/settings/app-installation/mass-market-apps/rest-only-installation-master.html
 */
export function describeNonEvent (body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null) return undefined
  const event: unknown = 'event' in body ? body.event : undefined
  if (event === undefined) return CALLBACKS.find(({ keys }) => keys.every(key => Object.hasOwn(body, key)))?.name
  return typeof event === 'string' && event.toLowerCase().startsWith('onappsettings') ? 'the settings form' : undefined
}

/**
 * Form that a user's browser posts into the frame of an app: install page, application page or placement. Unverified until an OAuth
 * server has confirmed the token pair.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/oauth/simple-way.md
 */
export interface PageRequest {
  memberId: string
  /** Token pair of the user who opened the page. Secret, like the application token. */
  accessToken: unknown
  refreshToken: unknown
  serverEndpoint: unknown
  /** Older on-premise portals do not send it. */
  applicationToken: string | undefined
}

/** Maximum size of a page's form, in bytes; documented ones have about 1,500. */
export const MAX_PAGE_BYTES = 32 * 1024

const LONGEST_TOKEN = 512
const KEYS = ['AUTH_ID', 'REFRESH_ID', 'PLACEMENT', 'APPLICATION_TOKEN']

/** Type guard for page requests, by the shape of the body. */
export function isPageRequest (body: unknown): body is Record<string, unknown> {
  return typeof body === 'object' && body !== null && !Object.hasOwn(body, 'event') && KEYS.some(key => Object.hasOwn(body, key))
}

/** Parses the body of a page request. Returns `undefined` without a valid `member_id`. */
export function readPageRequest (body: Record<string, unknown>): PageRequest | undefined {
  const { member_id: memberId, AUTH_ID: accessToken, REFRESH_ID: refreshToken, SERVER_ENDPOINT: serverEndpoint, APPLICATION_TOKEN: token } = body
  if (typeof memberId !== 'string' || !MEMBER_ID.test(memberId)) return undefined
  const applicationToken = typeof token === 'string' && token !== '' && token.length <= LONGEST_TOKEN ? token : undefined
  return { memberId, accessToken, refreshToken, serverEndpoint, applicationToken }
}

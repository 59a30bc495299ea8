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
export function nameOfCallback (body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null) return undefined
  const event: unknown = 'event' in body ? body.event : undefined
  if (event === undefined) return CALLBACKS.find(({ keys }) => keys.every(key => Object.hasOwn(body, key)))?.name
  return typeof event === 'string' && event.toLowerCase().startsWith('onappsettings') ? 'the settings form' : undefined
}

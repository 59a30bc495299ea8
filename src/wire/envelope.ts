import * as Type from 'typebox'

// Longer than any token or address, and short enough for a record that is read with every event.
const Scalar = (description: string, maxLength = 2048) => Type.Optional(Type.Union([Type.String({ maxLength }), Type.Number()], { description }))

/** Shape of a `member_id`. Genuine ones are 32 hex characters, which is not guaranteed. */
export const MEMBER_ID = /^[0-9A-Za-z_.-]{1,64}$/

/** Shape of an event's code on the wire. */
export const EVENT_CODE = /^[0-9A-Za-z_.]{1,128}$/

const AuthSchema = Type.Object({
  member_id: Type.String({
    pattern: MEMBER_ID.source,
    description: 'Identity of the portal; stays when the portal is renamed'
  }),
  application_token: Type.Optional(Type.String({
    maxLength: 512,
    description: 'Verifies that the portal sent the event. A secret'
  })),
  access_token: Scalar('Token of the user who acted, if there was one. A secret'),
  refresh_token: Scalar('Comes with lifecycle and some other events. A secret'),
  expires: Scalar('End of the access token, Unix seconds'),
  expires_in: Scalar('Life of the access token, seconds'),
  scope: Scalar('Scopes of the app, separated by commas'),
  domain: Scalar('Host of the portal'),
  server_endpoint: Scalar('REST base of the OAuth server'),
  client_endpoint: Scalar('REST base of the portal'),
  status: Scalar('L local, F free, S subscription; other values are possible'),
  user_id: Scalar('Portal user the access token belongs to')
}, { description: 'Identity of the portal, its application token and, for some events, OAuth tokens' })

/**
 * Body of an event as Bitrix24 sends it, decoded from a form or JSON. Additional properties are allowed at every level.
 * Fields without a value are absent on the wire, so `data` may be missing.
 * @see https://apidocs.bitrix24.com/api-reference/events/index.html
 */
export const EnvelopeSchema = Type.Object({
  event: Type.String({
    pattern: EVENT_CODE.source,
    description: 'Code of the event, such as ONCRMDYNAMICITEMUPDATE'
  }),
  event_handler_id: Type.Optional(Type.Union([Type.String({ maxLength: 64 }), Type.Integer()], {
    description: 'Id of the binding on that portal'
  })),
  eventId: Type.Optional(Type.Union([Type.String({ maxLength: 64 }), Type.Integer()], {
    description: 'The same id under the name that seven documented samples use'
  })),
  data: Type.Optional(Type.Unknown({ description: 'Data of the event; its shape depends on the event' })),
  ts: Type.Optional(Type.Union([Type.String({ pattern: '^[0-9]{1,12}$' }), Type.Integer({ minimum: 0, maximum: 999999999999 })], {
    description: 'When the portal made the event, Unix seconds'
  })),
  auth: AuthSchema
}, { title: 'Bitrix24 event', description: 'An event of a portal that installed the app' })

export type Envelope = Type.Static<typeof EnvelopeSchema>

/** Parses an integer that an envelope has as a number or a string. */
export function integerOf (value: string | number | undefined): number | undefined {
  const number = value === '' ? undefined : Number(value)
  return Number.isSafeInteger(number) ? number : undefined
}

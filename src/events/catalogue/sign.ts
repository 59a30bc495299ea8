import { eventPage } from './definition.ts'
import { int, object, optional, text } from './shapes.ts'

const events = eventPage('sign.b2e', 'api-reference/sign/events/')

/** `companyUid` only where the company has an integration. */
const status = { documentUid: text, companyUid: optional(text), statusCode: text, statusName: text }

export const sign = {
  ...events(['onSignB2eDocumentStatusChanged'], object(status), { item: ['sign-document', 'documentUid'], content: true }),
  ...events(['onSignB2eMemberStatusChanged'], object({ memberUid: text, ...status }), {
    item: ['sign-member', 'memberUid'], content: true
  }),
  // `id` is the participant who signs.
  ...events(['onSignHcmLinkB2eDocumentSigned'], object({ id: int, company: text }))
}

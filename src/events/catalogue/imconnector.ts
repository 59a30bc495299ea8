import type { TSchema } from 'typebox'
import { eventPage } from './definition.ts'
import { int, list, object, optional, text, yesNo } from './shapes.ts'

// The pages of August 2026 say `imconnector`; the portal, and newer pages, say `imopenlines`.
const events = eventPage('imopenlines', 'api-reference/imopenlines/imconnector/events/')

const place = { im: object({ chat_id: int, message_id: int }), chat: object({ id: text }) }
const messages = <T extends TSchema>(message: T) => (
  object({ CONNECTOR: text, LINE: int, MESSAGES: list(object({ ...place, message })) })
)
const dialog = object({
  connector: object({ connector_id: text, line_id: int, chat_id: int, user_id: int }),
  session: object({ id: int, closed: yesNo, parent_id: int, close_term: int }),
  chat: object({ id: int }),
  user: object({ id: int })
})

/** What operators do in the chats of an app's own connector. `chat.id` and `message.id` are ids of the external system. */
export const imconnector = {
  ...events(['onImConnectorMessageAdd'], messages(object({ user_id: int, text }))),
  ...events(['onImConnectorMessageUpdate'], messages(object({ id: optional(list(text)), text }))),
  ...events(['onImConnectorMessageDelete'], messages(object({ id: text }))),
  ...events(['onImConnectorDialogStart', 'onImConnectorDialogFinish'], object({ CONNECTOR: text, LINE: text, DATA: list(dialog) })),
  ...events(['onImConnectorStatusDelete'], object({ connector: text, line: int }), {
    item: ['connector', 'connector', 'line']
  }),
  // `data` is the number of the line.
  ...events(['onImConnectorLineDelete'], int, { item: ['line', ''] })
}

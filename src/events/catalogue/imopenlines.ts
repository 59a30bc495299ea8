import type { TSchema } from 'typebox'
import { eventPage } from './definition.ts'
import { anyId, int, list, listOrOne, object, oneOrList, optional, text, unknown, yesNo } from './shapes.ts'

const events = eventPage('imopenlines', 'api-reference/imopenlines/openlines/events/')

/** Its `chat_id`, and `chat.id` beside it, are ids of the external system in message events. */
const connector = object({ connector_id: text, line_id: int, chat_id: anyId, user_id: int })
const chat = object({ id: anyId })
const added = object({
  id: anyId, date: text, text, files: optional(list(unknown)), attach: text, system: yesNo, user_id: int
})
/** One id in the documentation; portals write a list of ids too. */
const changed = object({ id: oneOrList(anyId) })

/** CONNECTOR, LINE and `im` come with a message of an operator or of the system, `connector` with one of the customer. */
const messages = <T extends TSchema>(message: T) => object({
  CONNECTOR: optional(text),
  LINE: optional(int),
  DATA: listOrOne(object({
    connector: optional(connector),
    im: optional(object({ chat_id: int, message_id: int })),
    chat,
    message,
    ref: optional(list(unknown)),
    extra: optional(object({ EXTRA_URL: text }))
  }))
})
/** The event pages have `session` and `user`, the index of the section has `line`. */
const session = object({
  connector,
  session: optional(object({ id: int, closed: yesNo, parent_id: int, close_term: int })),
  chat: object({ id: optional(int), chat_id: optional(int) }),
  user: optional(object({ id: int })),
  line: optional(object({ id: int, name: text }))
})

/** Open channels: an app gets the events of all connectors. DATA is a list on the event pages, one object in the section's index. */
export const imopenlines = {
  ...events(['onOpenLineMessageAdd'], messages(added)),
  ...events(['onOpenLineMessageUpdate', 'onOpenLineMessageDelete'], messages(changed)),
  ...events(['onSessionStart', 'onSessionFinish'], object({ DATA: listOrOne(session) }))
}

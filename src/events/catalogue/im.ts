import { eventPage } from './definition.ts'
import { inDialog, message, reaction, scene } from './im-shapes.ts'
import { int, object, text } from './shapes.ts'

const events = eventPage('im', 'api-reference/chat-bots/chat-bots-v2/im.v2/events/events.md', { delivery: 'fetch' })

/**
 * Events of a user's own chats. They are fetched: webhooks are not supported for them.
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/chat-bots/chat-bots-v2/im.v2/events/index.md
 */
export const im = {
  ...events(['onImV2MessageAdd', 'onImV2MessageUpdate'], object({ message, ...scene }), inDialog),
  ...events(['onImV2MessageDelete'], object({ messageId: int, ...scene }), inDialog),
  ...events(['onImV2ReactionChange'], object({ ...reaction, ...scene }), inDialog),
  ...events(['onImV2JoinChat'], object({ dialogId: text, ...scene }), inDialog)
}

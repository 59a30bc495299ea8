import { eventPage } from './definition.ts'
import { inDialog, message, reaction, scene } from './im-shapes.ts'
import { bool, freeMap, int, object, oneOf, optional, text, timestamp } from './shapes.ts'

const events = eventPage('imbot', 'api-reference/chat-bots/chat-bots-v2/imbot.v2/events/events.md')

/** The bot's own tokens, for calls back. A bot that a webhook made has none. */
const auth = object({
  access_token: optional(text),
  refresh_token: optional(text),
  expires: optional(timestamp),
  expires_in: optional(int),
  scope: text,
  domain: text,
  server_endpoint: text,
  status: text,
  client_endpoint: text,
  member_id: text,
  user_id: optional(int),
  application_token: text
})

/** `auth` comes with a post, the fields below it when events are polled. */
const bot = object({
  id: int,
  code: text,
  auth: optional(auth),
  type: optional(text),
  isHidden: optional(bool),
  isSupportOpenline: optional(bool),
  isReactionsEnabled: optional(bool),
  backgroundId: optional(text),
  language: optional(text),
  moduleId: optional(text),
  eventMode: optional(oneOf('webhook', 'fetch')),
  countMessage: optional(int),
  countCommand: optional(int),
  countChat: optional(int),
  countUser: optional(int)
})

const command = object({ id: int, command: text, params: text, context: oneOf('textarea', 'keyboard', 'menu') })

/** Bots of version 2. `imbot.v2.Bot.register` subscribes them, not `event.bind`. */
export const imbot = {
  ...events(['onImBotV2MessageAdd', 'onImBotV2MessageUpdate'], object({ bot, message, ...scene }), inDialog),
  ...events(['onImBotV2MessageDelete'], object({ bot, messageId: int, ...scene }), inDialog),
  ...events(['onImBotV2CommandAdd'], object({ bot, command, message, ...scene }), inDialog),
  ...events(['onImBotV2ReactionChange'], object({ bot, ...reaction, ...scene }), inDialog),
  ...events(['onImBotV2JoinChat'], object({ bot, dialogId: text, ...scene }), inDialog),
  ...events(['onImBotV2ContextGet'], object({ bot, dialogId: text, context: optional(freeMap), ...scene }), inDialog),
  ...events(['onImBotV2Delete'], object({ bot }))
}

import { eventTable } from './definition.ts'
import { int, mapOf, object, oneOf, optional, text, timestamp, unknown, yesNo } from './shapes.ts'

const events = eventTable('imbot', 'api-reference/chat-bots/', { deprecated: true })

/** Events of one chat are handled in order, and none stands for another. */
const inDialog = { item: ['dialog', 'PARAMS.DIALOG_ID'], content: true } as const

/** Tokens of the bot. Without a user there are no tokens to pass. */
const tokens = {
  access_token: optional(text),
  refresh_token: optional(text),
  expires: optional(timestamp),
  expires_in: optional(int),
  scope: text,
  domain: text,
  server_endpoint: text,
  status: oneOf('L', 'F', 'S', 'D', 'T', 'P'),
  client_endpoint: text,
  member_id: text,
  user_id: optional(int),
  client_id: optional(text),
  application_token: text
}
/** Each bot has its tokens twice: beside its id, and under AUTH. */
const bot = { ...tokens, AUTH: object(tokens), BOT_ID: int, BOT_CODE: text }
const bots = mapOf(object(bot))
const command = object({
  ...bot,
  COMMAND: text,
  COMMAND_ID: int,
  COMMAND_PARAMS: text,
  COMMAND_CONTEXT: oneOf('TEXTAREA', 'KEYBOARD'),
  MESSAGE_ID: int
})

/** Keys are ids of users or bots, the values the same ids. */
const ids = mapOf(int)
const chatType = oneOf('P', 'C', 'O', 'L', 'S', 'N', 'J', 'T', 'A', 'B', 'X')
const person = { ID: int, NAME: text, FIRST_NAME: text, LAST_NAME: text, GENDER: oneOf('M', 'F') }
/** Who wrote; empty, so absent, where the author's id is 0. */
const author = object({ ...person, WORK_POSITION: text, IS_BOT: yesNo, IS_CONNECTOR: yesNo, IS_NETWORK: yesNo, IS_EXTRANET: yesNo })
const entity = { CHAT_ENTITY_TYPE: text, CHAT_ENTITY_ID: text, CHAT_ENTITY_DATA_1: text, CHAT_ENTITY_DATA_2: text, CHAT_ENTITY_DATA_3: text }

const base = { DIALOG_ID: text, MESSAGE_ID: int, MESSAGE: text, MESSAGE_TYPE: chatType, CHAT_TYPE: chatType, AUTHOR_ID: int, LANGUAGE: text }

/** What a new message and a command share. */
const posted = {
  ...base,
  TEMPLATE_ID: text,
  FROM_USER_ID: int,
  TO_CHAT_ID: int,
  SYSTEM: yesNo,
  PUSH: yesNo,
  PUSH_IMPORTANT: yesNo,
  RECENT_SKIP_AUTHOR: yesNo,
  CONVERT: yesNo,
  SKIP_COMMAND: yesNo,
  SKIP_COUNTER_INCREMENTS: yesNo,
  SILENT_CONNECTOR: yesNo,
  SKIP_CONNECTOR: yesNo,
  IMPORTANT_CONNECTOR: yesNo,
  NO_SESSION_OL: yesNo,
  FAKE_RELATION: int,
  SKIP_URL_INDEX: yesNo,
  // Only in a group chat.
  CHAT_ID: optional(int),
  CHAT_TITLE: optional(text),
  CHAT_AUTHOR_ID: optional(int),
  CHAT_AVATAR: optional(text),
  CHAT_COLOR: optional(text),
  CHAT_ENTITY_TYPE: optional(text),
  CHAT_ENTITY_ID: optional(text),
  CHAT_ENTITY_DATA_1: optional(text),
  CHAT_ENTITY_DATA_2: optional(text),
  CHAT_ENTITY_DATA_3: optional(text),
  CHAT_EXTRANET: optional(text),
  CHAT_PREV_MESSAGE_ID: optional(int),
  CHAT_CAN_POST: optional(text)
}

const added = object({
  ...posted,
  TO_USER_ID: int,
  RID: int,
  IS_MANAGER: yesNo,
  COMMAND_CONTEXT: text,
  PLATFORM_CONTEXT: text,
  CHAT_USER_COUNT: optional(int),
  MENTIONED_LIST: optional(ids),
  MESSAGE_ORIGINAL: optional(text)
})
const updated = object({
  ...base,
  ...entity,
  ID: int,
  CHAT_ID: int,
  CHAT_AUTHOR_ID: int,
  CHAT_USER_COUNT: int,
  TO_USER_ID: int,
  PLATFORM_CONTEXT: text,
  FROM_USER_ID: optional(int),
  MENTIONED_LIST: optional(ids),
  MESSAGE_ORIGINAL: optional(text)
})
const deleted = object({
  ...base, ...entity, ID: int, CHAT_ID: optional(int), CHAT_AUTHOR_ID: int, FROM_USER_ID: text, TO_USER_ID: text
})
const commanded = object({
  ...posted,
  TO_USER_ID: optional(int),
  SKIP_USER_CHECK: yesNo,
  RECENT_ADD: yesNo,
  CHAT_PARENT_ID: optional(int),
  CHAT_PARENT_MID: optional(int),
  RID: optional(int),
  IS_MANAGER: optional(text),
  BOT_IN_CHAT: optional(ids)
})
/** The other user in a personal chat, the chat's own fields in a group. */
const joined = object({
  CHAT_TYPE: chatType,
  MESSAGE_TYPE: chatType,
  BOT_ID: int,
  USER_ID: int,
  DIALOG_ID: text,
  LANGUAGE: text,
  TO_USER_ID: optional(int),
  FROM_USER_ID: optional(int),
  CHAT_ID: optional(int),
  CHAT_AUTHOR_ID: optional(int),
  CHAT_ENTITY_TYPE: optional(text),
  CHAT_ENTITY_ID: optional(text),
  ACCESS_HISTORY: optional(oneOf(1, 0)),
  SILENT_JOIN: optional(text)
})

/** Bots of version 1: BOT and COMMAND are maps, keyed by the ids of bots and commands. */
export const imbotOutdated = {
  ...events('outdated/messages/events/on-imbot-message-add.md', ['onImBotMessageAdd'],
    object({ BOT: bots, PARAMS: added, USER: optional(author) }), inDialog),
  ...events('outdated/messages/events/on-imbot-message-update.md', ['onImBotMessageUpdate'],
    object({ BOT: bots, PARAMS: updated, USER: optional(author) }), inDialog),
  ...events('outdated/messages/events/on-imbot-message-delete.md', ['onImBotMessageDelete'],
    object({ BOT: bots, PARAMS: deleted, USER: optional(author) }), inDialog),
  ...events('outdated/commands/events/on-im-command-add.md', ['onImCommandAdd'],
    object({ COMMAND: mapOf(command), PARAMS: commanded, USER: optional(object(person)) }), inDialog),
  ...events('outdated/chats/events/on-imbot-join-chat.md', ['onImBotJoinChat'],
    object({ BOT: bots, PARAMS: joined, USER: optional(object({ ...person, WORK_POSITION: text })) }), inDialog),
  ...events('outdated/events/on-imbot-delete.md', ['onImBotDelete'], object({ BOT_ID: int, BOT_CODE: text })),
  // Only named, as the predecessor of onImBotV2ContextGet.
  ...events('chat-bots-v2/migration.md', ['onImBotContextGet'], unknown)
}

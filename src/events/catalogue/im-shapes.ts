import { bool, datetime, freeMap, int, list, object, oneOf, optional, orFalse, text, yesNo } from './shapes.ts'

/** Chats of bots v2 and of users, one shape. As a form, null comes as an empty string. */
export const chat = object({
  id: int,
  dialogId: text,
  name: text,
  type: text,
  messageType: text,
  owner: int,
  color: optional(text),
  avatar: text,
  description: text,
  extranet: bool,
  containsCollaber: bool,
  entityType: text,
  entityId: text,
  entityData1: text,
  entityData2: text,
  entityData3: text,
  entityLink: optional(freeMap),
  diskFolderId: optional(int),
  permissions: optional(freeMap),
  parentChatId: optional(int),
  parentMessageId: optional(int),
  isNew: bool,
  textFieldEnabled: yesNo,
  backgroundId: optional(text)
})

export const user = object({
  id: int,
  active: bool,
  name: text,
  firstName: text,
  lastName: text,
  workPosition: text,
  color: text,
  avatar: text,
  gender: oneOf('M', 'F'),
  birthday: text,
  extranet: bool,
  bot: bool,
  connector: bool,
  externalAuthId: text,
  status: text,
  idle: orFalse(datetime),
  lastActivityDate: orFalse(datetime),
  mobileLastDate: orFalse(datetime),
  desktopLastDate: orFalse(datetime),
  absent: orFalse(datetime),
  departments: optional(list(int)),
  phones: orFalse(freeMap),
  type: oneOf('employee', 'extranet', 'email', 'collaber', 'bot'),
  website: text,
  email: text
})

export const message = object({
  id: int,
  chatId: int,
  /** 0 for a message of the system. */
  authorId: int,
  date: optional(datetime),
  text,
  isSystem: bool,
  uuid: text,
  forward: optional(freeMap),
  params: optional(freeMap),
  viewedByOthers: bool
})

/** Where it happened, who did it, and the language of the portal. */
export const scene = { chat, user, language: text }
export const reaction = { reaction: text, action: oneOf('add', 'delete'), message }

/** Events of one chat are handled in order, and none stands for another. */
export const inDialog = { item: ['dialog', 'dialogId|chat.dialogId'], content: true } as const

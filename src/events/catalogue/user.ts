import { eventPage } from './definition.ts'
import { int, list, oneOf, openObject, optional, text } from './shapes.ts'

const events = eventPage(['user', 'user_basic', 'user_brief'], 'api-reference/common/events/')

/** What the app may not see is not sent. Custom fields (`UF_USR_…`) come as further keys. */
export const user = {
  ...events(['onUserAdd'], openObject({
    ID: int,
    // 1 and 0 since September 2026.
    ACTIVE: oneOf('Y', 'N', '1', '0'),
    DATE_REGISTER: text,
    EMAIL: optional(text),
    NAME: optional(text),
    LAST_NAME: optional(text),
    PERSONAL_GENDER: optional(oneOf('M', 'F')),
    PERSONAL_BIRTHDAY: optional(text),
    UF_DEPARTMENT: optional(list(int)),
    WORK_POSITION: optional(text),
    UF_EMPLOYMENT_DATE: optional(text)
  }))
}

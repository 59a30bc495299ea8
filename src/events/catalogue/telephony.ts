import { eventPage } from './definition.ts'
import { datetime, double, int, object, oneOf, optional, text } from './shapes.ts'

const external = eventPage('telephony', 'api-reference/telephony/events/')
const voximplant = eventPage('telephony', 'api-reference/telephony/voximplant/events/')

/** 1 outgoing, 2 incoming, 3 incoming and forwarded, 4 callback, 5 information call. */
const callType = oneOf(1, 2, 3, 4, 5)

export const telephony = {
  // EXTENSION is '' and CALL_LIST_ID is 0 where there is none.
  ...external(['onExternalCallStart'], object({
    CALL_ID: text,
    USER_ID: int,
    PHONE_NUMBER: text,
    PHONE_NUMBER_INTERNATIONAL: text,
    EXTENSION: text,
    LINE_NUMBER: text,
    CALL_LIST_ID: int,
    IS_MOBILE: oneOf('0', '1'),
    CRM_ENTITY_TYPE: text,
    CRM_ENTITY_ID: int
  })),
  ...external(['onExternalCallBackStart'], object({
    PHONE_NUMBER: text, TEXT: text, VOICE: text, CRM_ENTITY_TYPE: text, CRM_ENTITY_ID: int, LINE_NUMBER: text
  })),
  // A rented number or SIP sends ACCOUNT_SEARCH_ID and PHONE_NUMBER, an app of telephony REST_APP_ID.
  ...voximplant(['onVoximplantCallInit'], object({
    CALL_ID: text,
    CALL_TYPE: callType,
    CALLER_ID: text,
    ACCOUNT_SEARCH_ID: optional(text),
    PHONE_NUMBER: optional(text),
    REST_APP_ID: optional(int)
  })),
  ...voximplant(['onVoximplantCallStart'], object({ CALL_ID: text, USER_ID: int })),
  ...voximplant(['onVoximplantCallEnd'], object({
    CALL_ID: text,
    CALL_TYPE: callType,
    PHONE_NUMBER: text,
    PORTAL_NUMBER: text,
    PORTAL_USER_ID: int,
    /** Seconds. */
    CALL_DURATION: int,
    CALL_START_DATE: datetime,
    COST: double,
    COST_CURRENCY: text,
    CALL_FAILED_CODE: oneOf('200', '304', '603', '603-S', '403', '404', '486', '484', '503', '480', '402', '423', 'OTHER'),
    CALL_FAILED_REASON: text,
    CRM_ACTIVITY_ID: int
  }))
}

import { eventPage, undocumented } from './definition.ts'
import { freeMap, int, nothing, object, oneOf, optional, text, timestamp, unknown, yesNo } from './shapes.ts'

const app = eventPage('basic', 'api-reference/common/events/')
const test = eventPage('basic', 'api-reference/events/test-handler.md')
const offline = eventPage('basic', 'api-reference/events/')

/** `F` free, `D` demo, `T` trial, `P` paid, `S` subscription, `L` local. */
const status = oneOf('F', 'D', 'T', 'P', 'S', 'L')

export const basic = {
  ...app(['onAppInstall'], object({ VERSION: text, ACTIVE: yesNo, INSTALLED: yesNo, LANGUAGE_ID: text })),
  ...app(['onAppUpdate'], object({ VERSION: text, PREVIOUS_VERSION: text, LANGUAGE_ID: text })),
  // CLEAN: 1 when the user asked to delete the data of the app.
  ...app(['onAppUninstall'], object({ LANGUAGE_ID: text, CLEAN: oneOf(1, 0) })),
  // Sent to the app that asked for the permission; TOKEN is the access token it asked with, a secret.
  ...app(['onAppMethodConfirm'], object({ TOKEN: text, METHOD: text, CONFIRMED: oneOf('0', '1'), LANGUAGE_ID: text })),
  // DAYS only where the period has an end; LANGUAGE_ID is gone since September 2026.
  ...app(['onAppPayment'], object({
    CODE: text, VERSION: int, STATUS: status, PAYMENT_EXPIRED: yesNo, DAYS: optional(int), LANGUAGE_ID: optional(text)
  })),
  // Tokens of the portal's system user. `domain` is the OAuth server, not the portal.
  ...app(['onAppUserReady'], object({
    access_token: text,
    refresh_token: text,
    expires_in: int,
    scope: text,
    domain: text,
    server_endpoint: text,
    client_endpoint: text,
    member_id: text,
    user_id: int,
    client_id: text,
    status,
    LANGUAGE_ID: text,
    date_finish: optional(timestamp)
  })),
  // The offline queue has something; it says no more.
  ...offline(['onOfflineEvent'], nothing, { item: ['offline-queue'] }),
  // QUERY: the parameters of the call of `event.test`.
  ...test(['onAppTest'], object({ QUERY: optional(freeMap), LANGUAGE_ID: text })),
  // What it carries is not known.
  ...undocumented('basic')(['onSubscriptionRenew'], unknown)
}

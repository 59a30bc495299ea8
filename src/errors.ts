import createError, { type FastifyErrorConstructor } from '@fastify/error'

/** Fields of an error response of a portal. */
export interface PortalErrorDetails {
  /** Error code of Bitrix24, such as `ERROR_METHOD_NOT_FOUND`; empty for most errors of `crm.*`. */
  portalCode: string
  /** HTTP status of the response, possibly 200; `undefined` if the SDK rejected the call before it was sent. */
  portalStatus: number | undefined
  /** Description by Bitrix24, in the portal's language. */
  description: string
  /**
   * Other keys of the error or the response, such as `validation` of REST 3. Up to 8 KB as JSON; keys beyond that are omitted.
   * `undefined` if there are none.
   */
  details?: Readonly<Record<string, unknown>> | undefined
}

/** Fields of an error about a portal that temporarily accepts no calls. */
export interface PortalLimitDetails {
  /**
   * Error code of Bitrix24: `QUERY_LIMIT_EXCEEDED`, `OPERATION_TIME_LIMIT`, `OVERLOAD_LIMIT` (REST is blocked on the portal) or
   * `METHOD_CONFIRM_WAITING` (an administrator has to allow the method); or the matching code if no call was made.
   */
  portalCode: string
  /** Time after which to retry the call, ms. */
  retryAfterMs: number
}

type ErrorClass<Code extends string, Status extends number, Fields = unknown> = FastifyErrorConstructor<{ code: Code, statusCode: Status } & Fields>

/** Creates an error class. The type is explicit, since the type inferred from `createError` becomes `any` under bundler module resolution. */
function define<Code extends string, Status extends number> (code: Code, message: string, statusCode: Status, Base?: ErrorConstructor): ErrorClass<Code, Status> {
  return createError(code, message, statusCode, Base)
}

/** Invalid options; registration fails. */
export const FST_B24_INVALID_OPTIONS = define('FST_B24_INVALID_OPTIONS', 'Invalid options: %s', 500, TypeError)
/** `addHook` got a name that is not a lifecycle hook, or something that is not a function. */
export const FST_B24_HOOK_UNSUPPORTED = define('FST_B24_HOOK_UNSUPPORTED', 'Unsupported hook: %s', 500, TypeError)
/** `on`, `onAny` or `off` got a name, a filter or a handler of the wrong kind. */
export const FST_B24_INVALID_HANDLER = define('FST_B24_INVALID_HANDLER', 'Invalid handler: %s', 500, TypeError)
/** `deadLetters` got an invalid filter. */
export const FST_B24_INVALID_FILTER = define('FST_B24_INVALID_FILTER', 'Invalid dead-letter filter: %s', 500, TypeError)

/** The body has more fields or levels, or longer keys, than any genuine request. */
export const FST_B24_FORM_LIMIT = define('FST_B24_FORM_LIMIT', 'Request body exceeds a limit: %s', 400)
/** A key that no genuine sender uses: a prototype key, a repeated key, or a value in place of a map. */
export const FST_B24_FORM_KEY = define('FST_B24_FORM_KEY', 'Invalid key in request body: %s', 400)
/** Invalid JSON. */
export const FST_B24_JSON = define('FST_B24_JSON', 'Request body is not valid JSON', 400)
/** The body does not match the envelope schema. */
export const FST_B24_ENVELOPE = define('FST_B24_ENVELOPE', 'Invalid event: %s', 400)
/** The body arrived too slowly. */
export const FST_B24_BODY_TIMEOUT = define('FST_B24_BODY_TIMEOUT', 'Request body not received within %s ms', 408)
/** The memory limit for large bodies is reached. */
export const FST_B24_BODY_BUSY = define('FST_B24_BODY_BUSY', 'Too many large request bodies in progress', 503)
/** The platform has read the body and provides it neither as `rawBody` nor as `body`. */
export const FST_B24_BODY_CONSUMED = define('FST_B24_BODY_CONSUMED', 'Request body was already consumed, and the request has no usable rawBody or body', 400)
/** A request from Bitrix24 other than an event: page, placement, robot, settings form. */
export const FST_B24_NOT_AN_EVENT = define('FST_B24_NOT_AN_EVENT', 'Not an event: %s', 400)

/** Unknown portal, wrong token or unverified install: the same response for all, so that it reveals nothing. */
export const FST_B24_FORBIDDEN = define('FST_B24_FORBIDDEN', 'Sender is not a portal that installed this app', 403)

/** A user without the right to install apps opened the install page. */
export const FST_B24_NOT_ADMIN = define('FST_B24_NOT_ADMIN', 'Only a portal administrator can install the app', 403)
/** The install is stored, but no worker has handled it yet. */
export const FST_B24_INSTALL_PENDING = define('FST_B24_INSTALL_PENDING', 'Installation is still in progress', 503)

/** A handler or a lifecycle hook failed before the response. */
export const FST_B24_HANDLER_FAILED = define('FST_B24_HANDLER_FAILED', 'A handler failed', 500)
/** A handler ran longer than `delivery.handlerTimeoutMs`. */
export const FST_B24_HANDLER_TIMEOUT = define('FST_B24_HANDLER_TIMEOUT', 'A handler ran longer than %s ms', 500)
/** Thrown by a handler for an event that no retry can handle: it becomes a dead letter immediately. */
export const FST_B24_GIVE_UP = define('FST_B24_GIVE_UP', '%s', 500)
/** A queued job is not an event of this plugin, or was written by an incompatible version. */
export const FST_B24_FOREIGN_JOB = define('FST_B24_FOREIGN_JOB', 'Unrecognized job payload', 500)

// The following errors may reach the host's clients. A forwarded 401 of a portal would log them out: hence 502, or 503 if temporary.

/** The portal no longer exists or has removed the app. */
export const FST_B24_PORTAL_GONE = define('FST_B24_PORTAL_GONE', 'Portal is gone or has removed the app', 502)
/** The portal has no valid token left, or never had one. */
export const FST_B24_REAUTH_REQUIRED = define('FST_B24_REAUTH_REQUIRED', 'No valid token for portal %s: %s', 502)
/** The portal's plan is unpaid or expired. */
export const FST_B24_PORTAL_SUSPENDED = define('FST_B24_PORTAL_SUSPENDED', 'Portal %s has an unpaid or expired plan', 503)
/** The OAuth server rejects the app itself: its `clientId`, `clientSecret` or scope. */
export const FST_B24_APP_KEYS = define('FST_B24_APP_KEYS', 'OAuth server rejected the app credentials: %s', 500)
/** The portal answered a call with an error; `portalCode` is its error code, `portalStatus` the HTTP status. */
export const FST_B24_PORTAL_CALL = define('FST_B24_PORTAL_CALL', '%s: %s', 502) as ErrorClass<'FST_B24_PORTAL_CALL', 502, PortalErrorDetails>
/** The portal temporarily accepts no calls, for `retryAfterMs`. */
export const FST_B24_PORTAL_LIMIT = define('FST_B24_PORTAL_LIMIT', '%s: %s', 503) as ErrorClass<'FST_B24_PORTAL_LIMIT', 503, PortalLimitDetails>
/** The portal gave no usable response: network error, timeout, server error. */
export const FST_B24_PORTAL_UNAVAILABLE = define('FST_B24_PORTAL_UNAVAILABLE', 'Portal unavailable: %s', 503)
/** The portal's address is in a private network. */
export const FST_B24_PRIVATE_ADDRESS = define('FST_B24_PRIVATE_ADDRESS', 'Address of portal %s is private', 502)
/** The portal's address is neither `https` nor allowed by `allowPrivateNetworks`: no token is sent there. */
export const FST_B24_INSECURE_ADDRESS = define('FST_B24_INSECURE_ADDRESS', 'Address of portal %s is not https', 502)
/** A response exceeds the call's limit of bytes, values or levels. */
export const FST_B24_ANSWER_TOO_LARGE = define('FST_B24_ANSWER_TOO_LARGE', '%s: response exceeds %s', 502)
/** A call is rejected before it is sent: invalid method name, parameters or options. */
export const FST_B24_INVALID_CALL = define('FST_B24_INVALID_CALL', 'Invalid call: %s', 500, TypeError)
/** `portal.client()` requires the official SDK, which is missing or of another version. */
export const FST_B24_SDK_MISSING = define('FST_B24_SDK_MISSING', 'portal.client() needs the package @bitrix24/b24jssdk: npm install @bitrix24/b24jssdk@%s', 500)
/** A list cannot be paginated to its end. */
export const FST_B24_LIST = define('FST_B24_LIST', 'Cannot paginate %s: %s', 500)
/** An operation requires `publicUrl`. */
export const FST_B24_NO_PUBLIC_URL = define('FST_B24_NO_PUBLIC_URL', 'Missing option publicUrl: %s', 500)
/** Fetching events from a portal requires a queue, which `delivery.mode: 'inline'` does not have. */
export const FST_B24_NO_QUEUE = define('FST_B24_NO_QUEUE', "Fetching events requires delivery.mode 'queue': fetched events are deleted on the portal and must be stored", 500)
/** An install can no longer be verified, or an event was waiting for such an install. */
export const FST_B24_INSTALL_LOST = define('FST_B24_INSTALL_LOST', 'Install can no longer be verified: %s', 410)
/** A package required at run time is not installed next to the app, as after bundling. */
export const FST_B24_PACKAGE_MISSING = define('FST_B24_PACKAGE_MISSING', "Package '%s' not found: install it next to the bundled app", 500)
/** A cursor that this storage did not issue. */
export const FST_B24_INVALID_CURSOR = define('FST_B24_INVALID_CURSOR', 'Invalid cursor', 400)
/** No dead letter has this id. */
export const FST_B24_NO_DEAD_LETTER = define('FST_B24_NO_DEAD_LETTER', "Dead letter '%s' not found", 404)
/** The store is temporarily unavailable. */
export const FST_B24_STORE_UNAVAILABLE = define('FST_B24_STORE_UNAVAILABLE', 'Store unavailable', 503)
/** The OAuth server temporarily cannot verify an install or issue a token; the message says why. */
export const FST_B24_OAUTH_UNAVAILABLE = define('FST_B24_OAUTH_UNAVAILABLE', 'OAuth server unavailable: %s', 503)
/** The waiting events of one portal reached its share; those of other portals are still accepted. */
export const FST_B24_PORTAL_QUOTA = define('FST_B24_PORTAL_QUOTA', 'Portal %s exceeded its share of waiting events', 503)
/** The storage was written by a version of the plugin with another layout. */
export const FST_B24_STORAGE_LAYOUT = define('FST_B24_STORAGE_LAYOUT', 'Storage has layout %s, but this version of fastify-bitrix24 supports only layout %s: use one version of the plugin per storage, or another storage for this app', 500)
/** The limit of installs waiting for verification is reached. */
export const FST_B24_INSTALL_BUSY = define('FST_B24_INSTALL_BUSY', 'Too many installs are being verified', 503)
/** The app is closing and accepts nothing. */
export const FST_B24_CLOSING = define('FST_B24_CLOSING', 'Server is closing', 503)
/** No configured key decrypts the stored tokens. */
export const FST_B24_DECRYPTION_FAILED = define('FST_B24_DECRYPTION_FAILED', 'Cannot decrypt stored tokens: %s', 500)
/** An error without a code of its own; details are in the log. */
export const FST_B24_INTERNAL = define('FST_B24_INTERNAL', 'Internal error', 500)

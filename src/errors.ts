import createError, { type FastifyErrorConstructor } from '@fastify/error'

/** What a portal says of a call that it refuses. */
export interface PortalErrorDetails {
  /** Bitrix24's own code, such as `ERROR_METHOD_NOT_FOUND`; empty where it has none, as for most errors of `crm.*`. */
  portalCode: string
  /** HTTP status of the portal's answer, 200 too; `undefined` where the SDK refused the call before it was made. */
  portalStatus: number | undefined
  /** What Bitrix24 says beside it; in the portal's words and language. */
  description: string
  /**
   * Further keys of the portal's error, such as `validation` of REST 3, or of its answer. Up to 8 KB as JSON: a key beyond that is left out.
   * `undefined` where there are none.
   */
  details?: Readonly<Record<string, unknown>> | undefined
}

/** What is known of a portal that takes no more calls. */
export interface PortalLimitDetails {
  /**
   * Bitrix24's own code: `QUERY_LIMIT_EXCEEDED`, `OPERATION_TIME_LIMIT`, `OVERLOAD_LIMIT` (REST is blocked on the portal) or
   * `METHOD_CONFIRM_WAITING` (an administrator has to allow the method); or what stands for it where no call was made.
   */
  portalCode: string
  /** Time after which the portal may take the call, ms. */
  retryAfterMs: number
}

type ErrorClass<Code extends string, Status extends number, Fields = unknown> = FastifyErrorConstructor<{ code: Code, statusCode: Status } & Fields>

/** Makes the class of an error. Its type is named: what the package infers from `createError` is `any` where bundlers resolve modules. */
function define<Code extends string, Status extends number> (code: Code, message: string, statusCode: Status, Base?: ErrorConstructor): ErrorClass<Code, Status> {
  return createError(code, message, statusCode, Base)
}

/** Options are wrong; registration stops. */
export const FST_B24_INVALID_OPTIONS = define('FST_B24_INVALID_OPTIONS', 'Invalid options: %s', 500, TypeError)
/** `addHook` got a name that is not a lifecycle hook, or something that is not a function. */
export const FST_B24_HOOK_UNSUPPORTED = define('FST_B24_HOOK_UNSUPPORTED', 'Unsupported hook: %s', 500, TypeError)
/** `on`, `onAny` or `off` got a name, a filter or a handler of the wrong kind. */
export const FST_B24_INVALID_HANDLER = define('FST_B24_INVALID_HANDLER', 'Invalid handler: %s', 500, TypeError)
/** `deadLetters` got a filter that may not say what was meant. */
export const FST_B24_INVALID_FILTER = define('FST_B24_INVALID_FILTER', 'Invalid filter of dead letters: %s', 500, TypeError)

/** The body has more fields, levels or longer keys than any genuine post. */
export const FST_B24_FORM_LIMIT = define('FST_B24_FORM_LIMIT', 'The body is over a limit: %s', 400)
/** A key that no genuine sender writes: a prototype key, a repeated key, a value where a map is. */
export const FST_B24_FORM_KEY = define('FST_B24_FORM_KEY', 'The body has a key that is refused: %s', 400)
/** A JSON body that is not JSON. */
export const FST_B24_JSON = define('FST_B24_JSON', 'The body is not valid JSON', 400)
/** The body does not meet the schema of the envelope. */
export const FST_B24_ENVELOPE = define('FST_B24_ENVELOPE', 'The body is not an event: %s', 400)
/** A body that came too slowly. */
export const FST_B24_BODY_TIMEOUT = define('FST_B24_BODY_TIMEOUT', 'The body did not arrive within %s ms', 408)
/** More large bodies are being read than there is memory for. */
export const FST_B24_BODY_BUSY = define('FST_B24_BODY_BUSY', 'Too many large bodies are being read', 503)
/** The platform has read the body, and left it neither as `rawBody` nor as `body`. */
export const FST_B24_BODY_CONSUMED = define('FST_B24_BODY_CONSUMED', 'The body was read before this plugin, and the request has no usable rawBody or body', 400)
/** A post from Bitrix24 that is no event: a page, a placement, a robot, a settings form. */
export const FST_B24_NOT_AN_EVENT = define('FST_B24_NOT_AN_EVENT', 'Not an event: %s', 400)

/** Unknown portal, wrong token or unproven install: one answer for all, so that nothing can be learned from it. */
export const FST_B24_FORBIDDEN = define('FST_B24_FORBIDDEN', 'The sender is not a portal that installed this app', 403)

/** A user opened the install page who may not install apps. */
export const FST_B24_NOT_ADMIN = define('FST_B24_NOT_ADMIN', 'Only an administrator of the portal can install the app', 403)
/** The install is stored, and no worker has handled it yet. */
export const FST_B24_INSTALL_PENDING = define('FST_B24_INSTALL_PENDING', 'The install takes longer than usual', 503)

/** A handler or a lifecycle hook failed before the answer. */
export const FST_B24_HANDLER_FAILED = define('FST_B24_HANDLER_FAILED', 'A handler failed', 500)
/** A handler ran longer than `delivery.handlerTimeoutMs`. */
export const FST_B24_HANDLER_TIMEOUT = define('FST_B24_HANDLER_TIMEOUT', 'A handler ran longer than %s ms', 500)
/** A handler throws it for an event that no further attempt can handle: it becomes a dead letter at once. */
export const FST_B24_GIVE_UP = define('FST_B24_GIVE_UP', '%s', 500)
/** What was found in the queue is no event of this plugin, or of a version that this one cannot read. */
export const FST_B24_FOREIGN_JOB = define('FST_B24_FOREIGN_JOB', 'Unrecognized job payload', 500)

// These may reach the clients of the host. A portal's 401 that is passed on would log them out: hence 502, or 503 where it may pass.

/** The portal is not known any more, or has removed the app. */
export const FST_B24_PORTAL_GONE = define('FST_B24_PORTAL_GONE', 'The portal is gone, or has removed the app', 502)
/** No token of the portal is good any more, or there never was one. */
export const FST_B24_REAUTH_REQUIRED = define('FST_B24_REAUTH_REQUIRED', 'No valid token for portal %s: %s', 502)
/** The portal has to pay before the app may act on it. */
export const FST_B24_PORTAL_SUSPENDED = define('FST_B24_PORTAL_SUSPENDED', 'Portal %s has an unpaid or expired plan', 503)
/** The OAuth server refuses the app itself: its `clientId`, its `clientSecret` or its scope. */
export const FST_B24_APP_KEYS = define('FST_B24_APP_KEYS', 'OAuth server rejected the app credentials: %s', 500)
/** The portal answered a call with an error; `portalCode` is its own code, `portalStatus` the status of its answer. */
export const FST_B24_PORTAL_CALL = define('FST_B24_PORTAL_CALL', '%s: %s', 502) as ErrorClass<'FST_B24_PORTAL_CALL', 502, PortalErrorDetails>
/** The portal takes no more calls for now; `retryAfterMs` says for how long. */
export const FST_B24_PORTAL_LIMIT = define('FST_B24_PORTAL_LIMIT', '%s: %s', 503) as ErrorClass<'FST_B24_PORTAL_LIMIT', 503, PortalLimitDetails>
/** The portal gave no usable answer: network, time, a broken server. */
export const FST_B24_PORTAL_UNAVAILABLE = define('FST_B24_PORTAL_UNAVAILABLE', 'Portal unavailable: %s', 503)
/** The portal's address is inside the server's own networks. */
export const FST_B24_PRIVATE_ADDRESS = define('FST_B24_PRIVATE_ADDRESS', 'Address of portal %s is private', 502)
/** The portal's address is not `https`, and not one that `allowPrivateNetworks` allows: it gets no token. */
export const FST_B24_INSECURE_ADDRESS = define('FST_B24_INSECURE_ADDRESS', 'Address of portal %s is not https', 502)
/** An answer has more bytes, values or levels than the call takes. */
export const FST_B24_ANSWER_TOO_LARGE = define('FST_B24_ANSWER_TOO_LARGE', '%s: response exceeds %s', 502)
/** A call is refused before it is made: no method has such a name, or the parameters or options say what cannot be sent. */
export const FST_B24_INVALID_CALL = define('FST_B24_INVALID_CALL', 'Invalid call: %s', 500, TypeError)
/** `portal.client()` needs the official SDK, which is not installed, or of another version. */
export const FST_B24_SDK_MISSING = define('FST_B24_SDK_MISSING', 'portal.client() needs the package @bitrix24/b24jssdk: npm install @bitrix24/b24jssdk@%s', 500)
/** A list cannot be walked through to its end. */
export const FST_B24_LIST = define('FST_B24_LIST', 'Cannot paginate %s: %s', 500)
/** Something needs to be told where Bitrix24 reaches this server. */
export const FST_B24_NO_PUBLIC_URL = define('FST_B24_NO_PUBLIC_URL', 'The option publicUrl is missing: %s', 500)
/** Events cannot be fetched from a portal where none is stored (`delivery.mode: 'inline'`). */
export const FST_B24_NO_QUEUE = define('FST_B24_NO_QUEUE', "Events that wait on a portal need delivery.mode 'queue': what is fetched is deleted there, and must be stored here", 500)
/** An install can never be confirmed any more, or an event was kept for such a one. */
export const FST_B24_INSTALL_LOST = define('FST_B24_INSTALL_LOST', 'The install cannot be confirmed any more: %s', 410)
/** A package that is needed at run time is not where the app is, as after bundling. */
export const FST_B24_PACKAGE_MISSING = define('FST_B24_PACKAGE_MISSING', "The package '%s' cannot be found: a bundle of the app needs it installed beside it", 500)
/** A cursor that no list of this storage has given. */
export const FST_B24_INVALID_CURSOR = define('FST_B24_INVALID_CURSOR', 'Invalid cursor', 400)
/** No dead letter has this id. */
export const FST_B24_NO_DEAD_LETTER = define('FST_B24_NO_DEAD_LETTER', "There is no dead letter '%s'", 404)
/** The store cannot answer now. */
export const FST_B24_STORE_UNAVAILABLE = define('FST_B24_STORE_UNAVAILABLE', 'The store cannot be reached', 503)
/** The OAuth server cannot confirm an install or issue a token now; the message says why. */
export const FST_B24_OAUTH_UNAVAILABLE = define('FST_B24_OAUTH_UNAVAILABLE', 'OAuth server unavailable: %s', 503)
/** As many bytes of events of one portal wait as may; those of others are stored. */
export const FST_B24_PORTAL_SHARE = define('FST_B24_PORTAL_SHARE', 'Portal %s has as many events waiting as it may', 503)
/** Another version of the plugin has written what is stored, and this one would break it. */
export const FST_B24_STORAGE_LAYOUT = define('FST_B24_STORAGE_LAYOUT', 'The storage has layout %s, and this version of fastify-bitrix24 knows layout %s only: run one version of the plugin on one storage, or give this app another one', 500)
/** More installs are waiting for their check than the server takes. */
export const FST_B24_INSTALL_BUSY = define('FST_B24_INSTALL_BUSY', 'Too many installs are being checked', 503)
/** The app is closing and takes nothing in. */
export const FST_B24_CLOSING = define('FST_B24_CLOSING', 'The server is closing', 503)
/** Sealed tokens cannot be opened with the keys at hand. */
export const FST_B24_DECRYPTION_FAILED = define('FST_B24_DECRYPTION_FAILED', 'Cannot decrypt stored tokens: %s', 500)
/** Something failed that has no code of its own; the log has it. */
export const FST_B24_INTERNAL = define('FST_B24_INTERNAL', 'Something went wrong', 500)

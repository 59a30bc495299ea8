import type { RegisterOptions } from 'fastify'
import { checkDelivery, completeDelivery, type DeliveryOptions, type DeliverySettings } from './delivery/delivery-options.ts'
import type { InstallStore } from './storage/install-store.ts'
import { GENUINE_OAUTH_SERVERS } from './oauth/oauth-server.ts'
import type { HttpDispatcher } from './oauth/request.ts'
import { check, checkOptionNames, withDefaults, isIntegerIn, isList, isObject, isText } from './validation.ts'
import type { ActAs } from './portal/create-portal-client.ts'
import { completePortalLimits, type PortalLimitOptions, type PortalLimitSettings } from './portal/plan-limits.ts'
import { isNetwork } from './portal/rest/address-guard.ts'
import { checkPublicUrl, checkSubscriptions, type SubscriptionOptions } from './portal/subscriptions/wanted-events.ts'
import { lackingVerbs, type RedisOption } from './storage/redis/connect.ts'
import type { InstallPageOptions } from './routes/install-page/options.ts'
import { MEMBER_ID } from './wire/envelope.ts'

export interface FastifyBitrix24Options {
  /** OAuth client id of the app, `local.…` or `app.…`. */
  clientId: string | undefined
  /** OAuth client secret of the app. */
  clientSecret: string | undefined
  /**
   * Stores installs and events in Redis: a URL, ioredis options, or a client that the caller owns and closes.
   * @default SQLite in `dataDir`
   */
  redis?: RedisOption | undefined
  /**
   * Directory of the SQLite storage for installs and events, used without `redis`.
   * @default './.bitrix24'
   */
  dataDir?: string | undefined
  /** Custom store for the installs of this app; the caller closes it. Events are still stored in `redis` or `dataDir`. */
  store?: InstallStore | undefined
  /** Name of this app if one server has several: `app.bitrix24.<namespace>`. */
  namespace?: string | undefined
  /**
   * Prefix of the paths `POST {prefix}/events` and `POST {prefix}/install`.
   * @default '/bitrix24', with a namespace `/bitrix24/<namespace>`
   */
  prefix?: string // without undefined, like Fastify's own option of this name
  /**
   * Origins of trusted OAuth servers, `https` unless on loopback. Requests go to no other server.
   * @default both servers of Bitrix24
   * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/oauth/simple-way.md
   */
  oauthServers?: readonly string[] | undefined
  /**
   * Keys that encrypt stored OAuth tokens, newest first, each of 32 characters or more. The first encrypts, the others only decrypt.
   * @default a key derived from `clientSecret`, which can always decrypt
   */
  encryptionKeys?: ReadonlyArray<string | Buffer> | undefined
  /** Outgoing webhooks, with the tokens that portal administrators created manually. */
  webhooks?: ReadonlyArray<{ memberId: string, applicationToken: string }> | undefined
  delivery?: DeliveryOptions | undefined
  /**
   * Allows portals on private and loopback addresses: on-premise in a LAN, or the simulator. `true` for all of them, or a list of networks
   * such as `['10.0.0.0/8', 'fd12::/16']`. Portals there may use `http`; all others receive tokens over https only. Link-local addresses and
   * those of cloud metadata services are never allowed.
   * @default false
   */
  allowPrivateNetworks?: boolean | readonly string[] | undefined
  /**
   * Sends all requests to portals and OAuth servers: a `Dispatcher` of undici, such as `ProxyAgent` for a forward proxy. The caller closes
   * it. It resolves host names itself, so the check for private networks covers only literal addresses and names.
   * @default requests are sent directly
   */
  dispatcher?: HttpDispatcher | undefined
  /**
   * Public URL of this server, such as `https://app.example`, without the path of the routes. `http`, loopback and private addresses require
   * `allowPrivateNetworks`. If set, each portal is subscribed to the events of the app's handlers when it installs the app.
   */
  publicUrl?: string | undefined
  /** How portals are subscribed to events; `offline` requires `publicUrl`. */
  subscriptions?: SubscriptionOptions | undefined
  /**
   * Tokens used for calls: `system` uses the system user's if it exists, otherwise the installer's; `installer` the other way round. A call
   * that the portal denies to the first user is retried once as the other.
   * @default 'system'
   */
  actAs?: ActAs | undefined
  /** Rate limits of calls to each portal, shared by all processes on one Redis. If a portal rejects calls earlier, the plugin waits and retries. */
  portalLimits?: PortalLimitOptions | undefined
  /**
   * Page shown when Bitrix24 opens `POST {prefix}/install` in a frame; `false`: none, the request is answered with 400.
   * @default the plugin's page
   */
  installPage?: InstallPageOptions | false | undefined
  /**
   * Maximum size of a request body, in bytes; larger ones are answered with 413. An encoded chat message can have half a megabyte;
   * unverified requests are limited to 64 KB.
   * @default 1048576
   */
  bodyLimit?: number | undefined
}

/** Validated options with all defaults. */
export interface Settings extends Omit<FastifyBitrix24Options, 'delivery' | 'portalLimits'> {
  clientId: string
  clientSecret: string
  dataDir: string
  prefix: string
  oauthServers: readonly string[]
  encryptionKeys: ReadonlyArray<string | Buffer>
  webhooks: ReadonlyArray<{ memberId: string, applicationToken: string }>
  delivery: DeliverySettings
  allowPrivateNetworks: boolean | readonly string[]
  installPage: InstallPageOptions | false
  publicUrl: string | undefined
  subscriptions: SubscriptionOptions
  portalLimits: PortalLimitSettings
  actAs: ActAs
  bodyLimit: number
}

const DEFAULTS: Required<Omit<FastifyBitrix24Options, 'prefix'>> & { prefix: string | undefined } = {
  clientId: undefined,
  clientSecret: undefined,
  redis: undefined,
  dataDir: './.bitrix24',
  store: undefined,
  namespace: undefined,
  prefix: undefined,
  oauthServers: GENUINE_OAUTH_SERVERS,
  encryptionKeys: [],
  webhooks: [],
  delivery: {},
  allowPrivateNetworks: false,
  dispatcher: undefined,
  publicUrl: undefined,
  subscriptions: {},
  portalLimits: {},
  actAs: 'system',
  installPage: {},
  bodyLimit: 1_048_576
}

/**
 * @param scope prefix of the scope that the plugin is registered in
 * @throws FST_B24_INVALID_OPTIONS with the name of the option, never with a value that may be secret
 */
export function readOptions (given: FastifyBitrix24Options & RegisterOptions, scope = ''): Settings {
  // Fastify handles these itself, but passes them on to the plugin.
  const { logLevel, logSerializers, ...own } = given
  const options = withDefaults('fastify-bitrix24', DEFAULTS, own)
  const { namespace, delivery, portalLimits } = options
  check(isText(options.clientId), 'clientId must be a non-empty string')
  check(isText(options.clientSecret), 'clientSecret must be a non-empty string')
  check(!isGuessable(options.clientSecret), 'clientSecret is too weak: use at least 6 characters, not all alike')
  check(namespace === undefined || (isText(namespace) && /^[A-Za-z]\w*$/.test(namespace)), 'namespace must contain only letters, digits and underscores, and start with a letter')
  check(isObject(delivery) && (delivery.deadLetters === undefined || isObject(delivery.deadLetters)), 'delivery and delivery.deadLetters must be objects')
  check(isObject(portalLimits), 'portalLimits must be an object')
  const settings = {
    ...options,
    prefix: options.prefix ?? (namespace === undefined ? '/bitrix24' : `/bitrix24/${namespace}`),
    delivery: completeDelivery(delivery),
    portalLimits: completePortalLimits(portalLimits)
  } as Settings
  checkSettings(settings)
  checkSubscriptionsReachable(settings, scope + settings.prefix)
  return settings
}

function checkSettings (settings: Settings): void {
  const { redis, store } = settings
  check(redis === undefined || isText(redis) || isObject(redis), 'redis must be a URL, ioredis options or an ioredis client')
  const lacking = redis === undefined ? [] : lackingVerbs(redis)
  check(lacking.length === 0, `redis must be an ioredis client; this one has no ${lacking.join(', no ')}`)
  check(store === undefined || (['get', 'swap', 'scan'] as const).every(verb => typeof store?.[verb] === 'function'),
    'store must have get, swap and scan')
  check(isText(settings.dataDir), 'dataDir must be a path')
  check(/^(\/[^\s?#]*[^\s?#/])?$/.test(settings.prefix), "prefix must start with '/' and not end with it")
  check(isList(settings.oauthServers, isOrigin) && settings.oauthServers.length > 0,
    "oauthServers must be a list of origins such as 'https://oauth.bitrix24.tech'")
  check(isList(settings.encryptionKeys, isKey), 'encryptionKeys must be a list of strings of 32 characters or buffers of 32 bytes, or longer')
  check(settings.encryptionKeys.every(key => !isPattern(key)), 'encryptionKeys must be random: a key repeats few characters')
  check(isList(settings.webhooks, isWebhook), 'webhooks must be a list of { memberId, applicationToken }')
  for (const [i, webhook] of settings.webhooks.entries()) {
    checkOptionNames(`webhooks[${i}]`, webhook, ['memberId', 'applicationToken'])
    check(!isGuessable(webhook.applicationToken), `webhooks[${i}].applicationToken is too weak: copy it from Bitrix24`)
  }
  checkDelivery(settings.delivery)
  checkSubscriptions(settings.subscriptions)
  check(settings.delivery.mode === 'queue' || !settings.subscriptions.offline, "subscriptions.offline requires delivery.mode 'queue'")
  const { allowPrivateNetworks, dispatcher } = settings
  check(typeof allowPrivateNetworks === 'boolean' || isList(allowPrivateNetworks, isNetwork),
    "allowPrivateNetworks must be true, false or a list of networks such as '10.0.0.0/8'")
  check(dispatcher === undefined || typeof dispatcher?.dispatch === 'function', 'dispatcher must be a Dispatcher of undici')
  check(settings.actAs === 'system' || settings.actAs === 'installer', "actAs must be 'system' or 'installer'")
  check(settings.installPage === false || isInstallPage(settings.installPage), 'installPage must be false or { html: a function, bx24Url: an https URL }')
  checkOptionNames('installPage', settings.installPage || {}, ['html', 'bx24Url'] satisfies Array<keyof InstallPageOptions>)
  check(isIntegerIn(settings.bodyLimit, 1024, Number.MAX_SAFE_INTEGER), 'bodyLimit must be a number of bytes, 1024 or more')
}

/** Checks that Bitrix24 can reach this server for subscriptions. */
function checkSubscriptionsReachable ({ publicUrl, subscriptions: { offline = false }, allowPrivateNetworks }: Settings, prefix: string): void {
  if (publicUrl !== undefined) checkPublicUrl(publicUrl, prefix, allowPrivateNetworks)
  check(publicUrl !== undefined || offline === false, 'subscriptions.offline requires publicUrl')
}

function isOrigin (value: unknown): boolean {
  if (!isText(value) || !URL.canParse(value)) return false
  const { protocol, hostname, origin } = new URL(value)
  const isSecure = protocol === 'https:' || (protocol === 'http:' && /^(127\.\d+\.\d+\.\d+|\[::1\]|localhost)$/.test(hostname))
  return isSecure && origin === value
}

function isInstallPage (value: unknown): boolean {
  if (!isObject(value)) return false
  const { html, bx24Url } = value
  const isUrl = bx24Url === undefined || (isText(bx24Url) && URL.canParse(bx24Url) && isOrigin(new URL(bx24Url).origin))
  return isUrl && (html === undefined || typeof html === 'function')
}

function isKey (value: unknown): boolean {
  return (typeof value === 'string' || Buffer.isBuffer(value)) && value.length >= 32
}

/** Secrets of Bitrix24 have 32 or more characters; tests use shorter ones. */
function isGuessable (secret: string): boolean {
  return secret.length < 6 || new Set(secret).size < 3
}

/** Returns whether a key has few different characters or repeats a sequence. 32 random hex digits have seven or fewer once in ten million keys. */
function isPattern (key: string | Buffer): boolean {
  const bytes = Buffer.from(key as string)
  if (new Set(bytes).size < 8) return true
  for (let period = 1; period <= bytes.length / 2; period++) {
    if (bytes.subarray(period).equals(bytes.subarray(0, -period))) return true
  }
  return false
}

function isWebhook (value: unknown): boolean {
  if (!isObject(value)) return false
  const { memberId, applicationToken } = value
  return isText(memberId) && MEMBER_ID.test(memberId) && isText(applicationToken)
}

import { check, checkDelivery, completeDelivery, isIntegerIn, type DeliveryOptions, type DeliverySettings } from './delivery/delivery-options.ts'
import type { InstallStore } from './installs/store.ts'
import { GENUINE_OAUTH_SERVERS } from './oauth/servers.ts'
import { checkSubscriptions, type SubscriptionOptions } from './portal/wanted-events.ts'
import { lackingVerbs, type RedisOption } from './redis/connect.ts'
import type { InstallPageOptions } from './routes/install-page-options.ts'
import { MEMBER_ID } from './wire/envelope.ts'

export interface FastifyBitrix24Options {
  /** OAuth client id of the app, `local.…` or `app.…`. */
  clientId: string | undefined
  /** OAuth client secret of the app. */
  clientSecret: string | undefined
  /**
   * Where installs and events are kept: a Redis URL, options of ioredis, or a client that the caller owns and closes.
   * @default the embedded store in `dataDir`
   */
  redis?: RedisOption | undefined
  /**
   * Folder of the embedded store, where installs and events are kept without `redis`.
   * @default './.bitrix24'
   */
  dataDir?: string | undefined
  /** Own store of this one app, for its installs; the caller closes it. Events stay where `redis` or `dataDir` say. */
  store?: InstallStore | undefined
  /** Name of this app where one server has several: `app.bitrix24.<namespace>`. */
  namespace?: string | undefined
  /**
   * Start of the paths `POST {prefix}/events` and `POST {prefix}/install`.
   * @default '/bitrix24', with a namespace `/bitrix24/<namespace>`
   */
  prefix?: string
  /**
   * Origins of the OAuth servers that may vouch for an install, `https` unless on loopback. No other server is ever asked.
   * @default both genuine ones
   * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/oauth/simple-way.md
   */
  oauthServers?: readonly string[] | undefined
  /**
   * Keys that seal the OAuth tokens, newest first, each of 32 characters or more. The first seals, the others only open.
   * @default one key derived from `clientSecret`, which always opens too
   */
  encryptionKeys?: ReadonlyArray<string | Buffer> | undefined
  /** Outgoing webhooks: tokens that a portal's owner made by hand. */
  webhooks?: ReadonlyArray<{ memberId: string, applicationToken: string }> | undefined
  delivery?: DeliveryOptions | undefined
  /**
   * Allows portals on private and loopback addresses: on-premise in a LAN, or the simulator.
   * @default false
   */
  allowPrivateNetworks?: boolean | undefined
  /**
   * Where Bitrix24 reaches this server, such as `https://app.example`; the path of the routes comes behind it. With it, each portal is
   * subscribed to what the app's hooks name as soon as it has installed the app.
   */
  publicUrl?: string | undefined
  /** How portals are subscribed to events. */
  subscriptions?: SubscriptionOptions | undefined
  /**
   * What users see where Bitrix24 opens `POST {prefix}/install` in a frame; `false`: nothing, the post is answered 400.
   * @default the plugin's own page
   */
  installPage?: InstallPageOptions | false | undefined
  /**
   * Largest body in bytes; a larger one is answered 413.
   * @default 262144
   */
  bodyLimit?: number | undefined
}

/** The options, checked and complete. */
export interface Settings extends Omit<FastifyBitrix24Options, 'delivery'> {
  clientId: string
  clientSecret: string
  dataDir: string
  prefix: string
  oauthServers: readonly string[]
  encryptionKeys: ReadonlyArray<string | Buffer>
  webhooks: ReadonlyArray<{ memberId: string, applicationToken: string }>
  delivery: DeliverySettings
  allowPrivateNetworks: boolean
  installPage: InstallPageOptions | false
  publicUrl: string | undefined
  subscriptions: SubscriptionOptions
  bodyLimit: number
}

/** @throws FST_B24_INVALID_OPTIONS with the name of the option; never with a value that may be secret */
export function readOptions (options: FastifyBitrix24Options): Settings {
  const { namespace, delivery = {} } = options
  check(isText(options.clientId), 'clientId must be a string that is not empty')
  check(isText(options.clientSecret), 'clientSecret must be a string that is not empty')
  check(namespace === undefined || /^[A-Za-z]\w*$/.test(namespace), 'namespace must be letters, digits and underscores')
  check(isObject(delivery) && (delivery.deadLetters === undefined || isObject(delivery.deadLetters)), 'delivery and delivery.deadLetters must be objects')
  const settings: Settings = {
    ...options,
    clientId: options.clientId as string,
    clientSecret: options.clientSecret as string,
    dataDir: options.dataDir ?? './.bitrix24',
    prefix: options.prefix ?? (namespace === undefined ? '/bitrix24' : `/bitrix24/${namespace}`),
    oauthServers: options.oauthServers ?? GENUINE_OAUTH_SERVERS,
    encryptionKeys: options.encryptionKeys ?? [],
    webhooks: options.webhooks ?? [],
    delivery: completeDelivery(delivery),
    allowPrivateNetworks: options.allowPrivateNetworks ?? false,
    installPage: options.installPage ?? {},
    publicUrl: options.publicUrl,
    subscriptions: options.subscriptions ?? {},
    bodyLimit: options.bodyLimit ?? 262_144
  }
  checkSettings(settings)
  return settings
}

function checkSettings (settings: Settings): void {
  const { redis, store } = settings
  check(redis === undefined || isText(redis) || isObject(redis), 'redis must be a URL, options of ioredis or a client')
  const lacking = redis === undefined ? [] : lackingVerbs(redis)
  check(lacking.length === 0, `redis must be a client of ioredis; this one has no ${lacking.join(', no ')}`)
  check(store === undefined || (['get', 'swap', 'scan'] as const).every(verb => typeof store?.[verb] === 'function'),
    'store must have get, swap and scan')
  check(isText(settings.dataDir), 'dataDir must be a path')
  check(/^(\/[^\s?#]*[^\s?#/])?$/.test(settings.prefix), "prefix must start with '/' and not end with it")
  check(isList(settings.oauthServers, isOrigin) && settings.oauthServers.length > 0,
    "oauthServers must be a list of origins such as 'https://oauth.bitrix24.tech'")
  check(isList(settings.encryptionKeys, isKey), 'encryptionKeys must be strings of 32 characters or buffers of 32 bytes, or longer')
  check(isList(settings.webhooks, isWebhook), 'webhooks must be a list of { memberId, applicationToken }')
  checkDelivery(settings.delivery)
  checkSubscriptions(settings.subscriptions)
  check(settings.delivery.mode === 'queue' || !settings.subscriptions.offline, "subscriptions.offline needs delivery.mode 'queue'")
  check(typeof settings.allowPrivateNetworks === 'boolean', 'allowPrivateNetworks must be true or false')
  check(settings.installPage === false || isInstallPage(settings.installPage), 'installPage must be false or { html: a function, bx24Url: an https URL }')
  check(isIntegerIn(settings.bodyLimit, 1024, Number.MAX_SAFE_INTEGER), 'bodyLimit must be a number of bytes, 1024 or more')
}

function isObject (value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isText (value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function isList<T> (value: unknown, isItem: (item: T) => boolean): boolean {
  return Array.isArray(value) && value.every(isItem)
}

function isOrigin (value: unknown): boolean {
  if (!isText(value) || !URL.canParse(value)) return false
  const { protocol, hostname, origin } = new URL(value)
  const isSecure = protocol === 'https:' || (protocol === 'http:' && /^(127\.\d+\.\d+\.\d+|\[::1\]|localhost)$/.test(hostname))
  return isSecure && origin === value
}

function isInstallPage (value: unknown): boolean {
  if (!isObject(value)) return false
  const { html, bx24Url } = value as { html?: unknown, bx24Url?: unknown }
  const isUrl = bx24Url === undefined || (isText(bx24Url) && URL.canParse(bx24Url) && isOrigin(new URL(bx24Url).origin))
  return isUrl && (html === undefined || typeof html === 'function')
}

function isKey (value: unknown): boolean {
  return (typeof value === 'string' || Buffer.isBuffer(value)) && value.length >= 32
}

function isWebhook (value: unknown): boolean {
  const webhook = value as { memberId?: unknown, applicationToken?: unknown } | null
  return isObject(webhook) && isText(webhook.memberId) && MEMBER_ID.test(webhook.memberId) && isText(webhook.applicationToken)
}

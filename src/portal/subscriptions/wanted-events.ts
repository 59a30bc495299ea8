import { hash } from 'node:crypto'
import { definitionOf } from '../../events/definitions.ts'
import type { Install, KnownSubscription } from '../../installs/install.ts'
import { type AllowedNetworks, isPrivateAddress } from '../rest/address-guard.ts'
import { check, checkOptionNames, isIntegerIn, isList, isObject, isText } from '../../validation.ts'

export interface SubscriptionOptions {
  /**
   * Events that wait in the portal's offline queue until this app fetches them, instead of being posted: none is missed while the app is down.
   * `true` for all events named in `on()` that support it, or a list of names or codes.
   *
   * If omitted, existing offline bindings are left alone; `false` removes them.
   */
  offline?: boolean | readonly string[] | undefined
  /**
   * Portal user whose tokens come with every posted event.
   * @default the user who caused the event
   */
  authType?: number | undefined
  /**
   * Name of the offline queue, for apps with several, or that want events of their own changes. Requires a plan with `rest_auth_connector`.
   * @default the app's unnamed queue
   */
  authConnector?: string | undefined
  /**
   * When to subscribe portals: after they install or update the app; or also when a worker starts with other handlers or another `publicUrl`.
   * @default 'install'
   */
  sync?: 'install' | 'start' | undefined
  /**
   * Interval for fetching a portal's chat events (`onImV2MessageAdd` and the like, which portals do not post), in milliseconds.
   * @default 10000
   */
  fetchEveryMs?: number | undefined
}

/** An event to bind. */
export interface WantedEvent {
  /** Upper-case code, with the type suffix if one was named. */
  event: string
  offline?: boolean
  authConnector?: string
  authType?: number
  /** Codes of single types, from the handlers' filters; bound instead if the portal knows all of them. */
  narrowed?: readonly string[]
}

/** What the registered handlers listen to. */
export interface Listeners {
  /** Upper-case codes that handlers name. */
  readonly codes: readonly string[]
  /** Returns the values of a filter key if all handlers of a code filter by it. */
  filterValues? (code: string, key: string): readonly unknown[] | undefined
}

/** Posted when an offline queue has events; without it, only the poll finds them. */
export const OFFLINE_NOTIFICATION = 'ONOFFLINEEVENT'
/** Always bound, because the plugin needs them. */
const ALWAYS = ['ONAPPUNINSTALL', 'ONAPPUPDATE']
/** Bound by Bitrix24 itself. */
const AUTOMATIC = ['ONAPPINSTALL', 'ONAPPUSERREADY']

/** Returns whether an event must be fetched because portals do not post it. */
export function isFetched (code: string): boolean {
  return definitionOf(code)?.delivery === 'fetch'
}

/** Returns whether bindings of an event are made by other means than `event.bind`: at install, or when a bot is registered. */
export function isBoundElsewhere (code: string): boolean {
  return AUTOMATIC.includes(code) || isFetched(code) || definitionOf(code)?.scope === 'imbot'
}

/** Returns the events to bind for the registered handlers. */
export function wantedEvents (listeners: Listeners, { offline = false, authType, authConnector }: SubscriptionOptions = {}): WantedEvent[] {
  const listed = typeof offline === 'boolean' ? [] : offline.map(name => name.toUpperCase())
  const isOffline = (code: string) => code !== OFFLINE_NOTIFICATION && !ALWAYS.includes(code) && (offline === true || listed.includes(code))
  const named = [...new Set([...ALWAYS, ...listeners.codes, ...listed])].filter(code => !isBoundElsewhere(code))
  const online = named.filter(code => !isOffline(code))
  if (named.some(isOffline) && !online.includes(OFFLINE_NOTIFICATION)) online.push(OFFLINE_NOTIFICATION)
  return [
    ...online.map(event => ({ event, ...narrowed(event, listeners), ...(authType !== undefined && { authType }) })),
    ...named.filter(isOffline).map(event => ({ event, offline: true, ...(authConnector !== undefined && { authConnector }) }))
  ]
}

/**
 * Portals may have one event per type of dynamic items. Binding those instead of the common event avoids posts about all other types.
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/crm/universal/events/index.md
 */
function narrowed (event: string, listeners: Listeners): Pick<WantedEvent, 'narrowed'> {
  const definition = definitionOf(event)
  if (definition?.suffixed !== true || definition.code !== event) return {}
  const types = listeners.filterValues?.(event, 'ENTITY_TYPE_ID')
  return types?.every(Number.isSafeInteger) === true ? { narrowed: types.map(type => `${event}_${String(type)}`) } : {}
}

/** @throws FST_B24_INVALID_OPTIONS */
export function checkSubscriptions (options: SubscriptionOptions): void {
  check(isObject(options), 'subscriptions must be an object')
  checkOptionNames('subscriptions', options, ['offline', 'authType', 'authConnector', 'sync', 'fetchEveryMs'] satisfies Array<keyof SubscriptionOptions>)
  const { offline, authType, authConnector, sync, fetchEveryMs } = options
  check(offline === undefined || typeof offline === 'boolean' || isList(offline, isText),
    'subscriptions.offline must be true, false or a list of events')
  check(authType === undefined || isIntegerIn(authType, 1, Number.MAX_SAFE_INTEGER), 'subscriptions.authType must be the id of a portal user')
  check(authConnector === undefined || isText(authConnector), 'subscriptions.authConnector must be a non-empty string')
  check(sync === undefined || sync === 'install' || sync === 'start', "subscriptions.sync must be 'install' or 'start'")
  check(fetchEveryMs === undefined || isIntegerIn(fetchEveryMs, 1_000, 3_600_000), 'subscriptions.fetchEveryMs must be a whole number of ms from 1000 to 3600000')
}

/** Handler URLs remembered per portal, bounded for servers whose URL changes at each start. */
const MAX_URLS = 10

/** Short digest of the wanted events, independent of their order. */
export function digestOf (wanted: readonly WantedEvent[]): string {
  return hash('sha256', JSON.stringify(wanted.map(event => JSON.stringify(event)).sort()), 'base64url').slice(0, 16)
}

/** Returns whether the last sync of a portal bound exactly these events to exactly this URL. */
export function isInSync ({ subscribed }: Pick<Install, 'subscribed'>, handlerUrl: string, wanted: string): boolean {
  return subscribed?.wanted === wanted && subscribed.urls.length === 1 && subscribed.urls[0] === handlerUrl
}

/** Adds a handler URL to the record, before binding to it, so that later syncs recognize it. Returns the same object if it is known. */
export function withUrl (install: Install, handlerUrl: string): Install {
  const { urls, ...others } = install.subscribed ?? { urls: [], wanted: '' }
  if (urls[0] === handlerUrl) return install
  return { ...install, subscribed: { ...others, urls: [handlerUrl, ...urls.filter(url => url !== handlerUrl)].slice(0, MAX_URLS) } }
}

/** Updates the record after a completed sync. */
export function withSubscription (install: Install, subscribed: KnownSubscription): Install {
  return JSON.stringify(install.subscribed) === JSON.stringify(subscribed) ? install : { ...install, subscribed }
}

/** Portals truncate longer handler URLs. */
const MAX_URL_LENGTH = 255

/**
 * Validates `publicUrl`; `prefix` is the full path prefix of the routes, including the scope's.
 *
 * @throws FST_B24_INVALID_OPTIONS for a URL that portals would reject or could not reach
 */
export function checkPublicUrl (publicUrl: string, prefix: string, allowPrivateNetworks: AllowedNetworks): void {
  check(isText(publicUrl) && URL.canParse(publicUrl), 'publicUrl must be a URL')
  const { protocol, origin, pathname, search, hash, username } = new URL(publicUrl)
  check(/^https?:$/.test(protocol), 'publicUrl must start with https://')
  check(search === '' && hash === '' && username === '', 'publicUrl must have no user, query or fragment')
  check(allowPrivateNetworks !== false || (protocol === 'https:' && !isPrivateAddress(publicUrl)),
    'publicUrl must be a public https URL; http, loopback and private addresses require allowPrivateNetworks')
  const path = pathname.replace(/\/+$/, '')
  const before = withoutSuffix(path.replace(/\/(events|install)$/, ''), prefix)
  check(path === before, `publicUrl must not include the path of the routes, which is appended: use '${origin}${before}'`)
  check(handlerUrlOf(publicUrl, prefix).length <= MAX_URL_LENGTH, `publicUrl is too long: with '${prefix}/events' it exceeds the ${MAX_URL_LENGTH} characters portals store`)
}

/** Returns the URL portals post events to; expects a valid `publicUrl`. */
export function handlerUrlOf (publicUrl: string, prefix: string): string {
  return `${publicUrl.replace(/\/+$/, '')}${prefix}/events`
}

function withoutSuffix (path: string, end: string): string {
  return path.endsWith(end) ? path.slice(0, path.length - end.length) : path
}

import { hash } from 'node:crypto'
import { definitionOf } from '../../events/definitions.ts'
import type { Install, KnownSubscription } from '../../installs/install.ts'
import { type AllowedNetworks, isPrivateAddress } from '../rest/address-guard.ts'
import { check, checkOptionNames, isIntegerIn, isList, isObject, isText } from '../../validation.ts'

export interface SubscriptionOptions {
  /**
   * Events that are to wait in the portal's own queue until this app fetches them, instead of being posted to it: none of them
   * is missed while the app is down. `true`: all that `on()` names and that can wait; or a list of names or codes.
   *
   * Left out, what waits in such queues is not the plugin's business; `false` ends it where it was so before.
   */
  offline?: boolean | readonly string[] | undefined
  /**
   * Portal user whose tokens and rights go with every event that is posted.
   * @default whoever caused the event
   */
  authType?: number | undefined
  /**
   * Name of the queue, for apps that have several, or that make changes and want to see them too. Needs a portal whose plan has
   * `rest_auth_connector`.
   * @default the app's one queue without a name
   */
  authConnector?: string | undefined
  /**
   * When portals are subscribed: once they have installed or updated the app, or beside that at the start of a process that works, where
   * the code listens to something else than before or `publicUrl` is another.
   * @default 'install'
   */
  sync?: 'install' | 'start' | undefined
  /**
   * Time between two fetches of a portal's chat events (`onImV2MessageAdd` and the like, which no portal posts), ms.
   * @default 10000
   */
  fetchEveryMs?: number | undefined
}

/** An event that a portal is to send, or to keep until it is fetched. */
export interface WantedEvent {
  /** In capitals, with its type suffix where one was named. */
  event: string
  offline?: boolean
  authConnector?: string
  authType?: number
  /** Codes to bind instead where the portal knows all of them: those of the types that the handlers' filters name. */
  narrowed?: readonly string[]
}

/** The handlers of an app, as far as portals have to know of them. */
export interface Listeners {
  /** Codes that handlers name, in capitals. */
  readonly codes: readonly string[]
  /** The values that the filters of all handlers of a code wait for. */
  filterValues? (code: string, key: string): readonly unknown[] | undefined
}

/** Says that a queue has something. Without it, only the poll would look. */
export const OFFLINE_NOTIFICATION = 'ONOFFLINEEVENT'
/** Whatever the app listens to: the plugin needs them. */
const ALWAYS = ['ONAPPUNINSTALL', 'ONAPPUPDATE']
/** Bitrix24 binds these by itself. */
const AUTOMATIC = ['ONAPPINSTALL', 'ONAPPUSERREADY']

/** Returns whether an event is fetched, as no portal posts it. */
export function isFetched (code: string): boolean {
  return definitionOf(code)?.delivery === 'fetch'
}

/** Tells whether bindings of an event are made by other means than `event.bind`: at the install, or where a bot is registered. */
export function isBoundElsewhere (code: string): boolean {
  return AUTOMATIC.includes(code) || isFetched(code) || definitionOf(code)?.scope === 'imbot'
}

/** What a portal is to be subscribed to, for these handlers. */
export function wantedEvents (listeners: Listeners, { offline = false, authType, authConnector }: SubscriptionOptions = {}): WantedEvent[] {
  const listed = typeof offline === 'boolean' ? [] : offline.map(name => name.toUpperCase())
  const waits = (code: string) => code !== OFFLINE_NOTIFICATION && !ALWAYS.includes(code) && (offline === true || listed.includes(code))
  const named = [...new Set([...ALWAYS, ...listeners.codes, ...listed])].filter(code => !isBoundElsewhere(code))
  const online = named.filter(code => !waits(code))
  if (named.some(waits) && !online.includes(OFFLINE_NOTIFICATION)) online.push(OFFLINE_NOTIFICATION)
  return [
    ...online.map(event => ({ event, ...narrowed(event, listeners), ...(authType !== undefined && { authType }) })),
    ...named.filter(waits).map(event => ({ event, offline: true, ...(authConnector !== undefined && { authConnector }) }))
  ]
}

/**
 * Of dynamic items, a portal may know an event for each type: bound instead of the common one, it spares the posts about all other types.
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
  check(authConnector === undefined || isText(authConnector), 'subscriptions.authConnector must be a string that is not empty')
  check(sync === undefined || sync === 'install' || sync === 'start', "subscriptions.sync must be 'install' or 'start'")
  check(fetchEveryMs === undefined || isIntegerIn(fetchEveryMs, 1_000, 3_600_000), 'subscriptions.fetchEveryMs must be a whole number of ms from 1000 to 3600000')
}

/** Addresses that are remembered of a portal: more stand for a server that changes its address at each start. */
const MAX_URLS = 10

/** Short digest of what is wanted: the same however it is ordered. */
export function digestOf (wanted: readonly WantedEvent[]): string {
  return hash('sha256', JSON.stringify(wanted.map(event => JSON.stringify(event)).sort()), 'base64url').slice(0, 16)
}

/** Returns whether a portal was last subscribed to just that, at just that address. */
export function isInSync ({ subscribed }: Pick<Install, 'subscribed'>, handlerUrl: string, wanted: string): boolean {
  return subscribed?.wanted === wanted && subscribed.urls.length === 1 && subscribed.urls[0] === handlerUrl
}

/** The record before anything is bound to an address: whoever syncs next has to know of it. The very one where it knows. */
export function withUrl (install: Install, handlerUrl: string): Install {
  const { urls, ...others } = install.subscribed ?? { urls: [], wanted: '' }
  if (urls[0] === handlerUrl) return install
  return { ...install, subscribed: { ...others, urls: [handlerUrl, ...urls.filter(url => url !== handlerUrl)].slice(0, MAX_URLS) } }
}

/** The record after a sync that came to its end. */
export function withSubscription (install: Install, subscribed: KnownSubscription): Install {
  return JSON.stringify(install.subscribed) === JSON.stringify(subscribed) ? install : { ...install, subscribed }
}

/** Longest address that a portal keeps. */
const MAX_URL_LENGTH = 255

/**
 * Checks where Bitrix24 is to reach this server; `prefix` is the path of the routes, that of the scope before it.
 *
 * @throws FST_B24_INVALID_OPTIONS for a `publicUrl` that no portal would take, or that portals could not reach
 */
export function checkPublicUrl (publicUrl: string, prefix: string, allowPrivateNetworks: AllowedNetworks): void {
  check(isText(publicUrl) && URL.canParse(publicUrl), 'publicUrl must be a URL')
  const { protocol, origin, pathname, search, hash, username } = new URL(publicUrl)
  check(/^https?:$/.test(protocol), 'publicUrl must begin with https://')
  check(search === '' && hash === '' && username === '', 'publicUrl must have no user, query or fragment')
  check(allowPrivateNetworks !== false || (protocol === 'https:' && !isPrivateAddress(publicUrl)),
    'publicUrl must be an https address that the internet reaches; http, loopback and private addresses need allowPrivateNetworks')
  const path = pathname.replace(/\/+$/, '')
  const before = withoutEnd(path.replace(/\/(events|install)$/, ''), prefix)
  check(path === before, `publicUrl has the path of the routes, which comes behind it by itself: give '${origin}${before}'`)
  check(handlerUrlOf(publicUrl, prefix).length <= MAX_URL_LENGTH, `publicUrl is too long: portals keep ${MAX_URL_LENGTH} characters of '${prefix}/events' behind it`)
}

/** Where portals post events, with a `publicUrl` that was checked. */
export function handlerUrlOf (publicUrl: string, prefix: string): string {
  return `${publicUrl.replace(/\/+$/, '')}${prefix}/events`
}

function withoutEnd (path: string, end: string): string {
  return path.endsWith(end) ? path.slice(0, path.length - end.length) : path
}

import { definitionOf } from '../../events/definition-of.ts'
import { isObject } from '../../is-object.ts'
import { check, checkNames, isIntegerIn, isList, isText } from '../../option-checks.ts'

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
}

/** An event that a portal is to send, or to keep until it is fetched. */
export interface WantedEvent {
  /** In capitals, with its type suffix where one was named. */
  event: string
  offline?: boolean
  authConnector?: string
  authType?: number
}

/** Says that a queue has something. Without it, only the poll would look. */
export const BELL = 'ONOFFLINEEVENT'
/** Whatever the app listens to: the plugin needs them. */
const ALWAYS = ['ONAPPUNINSTALL', 'ONAPPUPDATE']
/** Bitrix24 binds these by itself. */
const AUTOMATIC = ['ONAPPINSTALL', 'ONAPPUSERREADY']

/** Tells whether bindings of an event are made by other means than `event.bind`: at the install, or where a bot is registered. */
export function isLeftAlone (code: string): boolean {
  return AUTOMATIC.includes(code) || definitionOf(code)?.scope === 'imbot'
}

/** What a portal is to be subscribed to, for hooks on these codes. */
export function wantedEvents (codes: readonly string[], { offline = false, authType, authConnector }: SubscriptionOptions = {}): WantedEvent[] {
  const listed = typeof offline === 'boolean' ? [] : offline.map(name => name.toUpperCase())
  const waits = (code: string) => code !== BELL && !ALWAYS.includes(code) && (offline === true || listed.includes(code))
  const named = [...new Set([...ALWAYS, ...codes, ...listed])].filter(code => !isLeftAlone(code))
  const online = named.filter(code => !waits(code))
  if (named.some(waits) && !online.includes(BELL)) online.push(BELL)
  return [
    ...online.map(event => ({ event, ...(authType !== undefined && { authType }) })),
    ...named.filter(waits).map(event => ({ event, offline: true, ...(authConnector !== undefined && { authConnector }) }))
  ]
}

/** @throws FST_B24_INVALID_OPTIONS */
export function checkSubscriptions (options: SubscriptionOptions): void {
  check(isObject(options), 'subscriptions must be an object')
  checkNames('subscriptions', options, ['offline', 'authType', 'authConnector'] satisfies Array<keyof SubscriptionOptions>)
  const { offline, authType, authConnector } = options
  check(offline === undefined || typeof offline === 'boolean' || isList(offline, isText),
    'subscriptions.offline must be true, false or a list of events')
  check(authType === undefined || isIntegerIn(authType, 1, Number.MAX_SAFE_INTEGER), 'subscriptions.authType must be the id of a portal user')
  check(authConnector === undefined || isText(authConnector), 'subscriptions.authConnector must be a string that is not empty')
}

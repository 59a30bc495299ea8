import type { EventDefinition } from '../../../events/catalogue/definition.ts'
import { catalogue } from '../../../events/catalogue/index.ts'
import { baseCode, definitionOf } from '../../../events/definitions.ts'
import type { Binding } from '../../portal/event-bus.ts'
import type { RestPortal } from '../../portal/rest-portal.ts'
import type { Row } from '../../portal/row-query.ts'
import { accessDenied, isInScope, isTruthy, type MethodTable, type RestCall, RestError, wrongArgument } from '../rest-call.ts'
import { page } from './lists.ts'

/** Scope of events that every app may bind. */
const EVERY_APP = 'basic'

/** All events except those that can only be fetched. */
const bindable = Object.values<EventDefinition>(catalogue).filter(({ delivery }) => delivery !== 'fetch')

/** `event.*` except for the offline queue. */
export const eventMethods: MethodTable = {
  events: {
    run: call => {
      const scope = call.text('scope')
      const scopes = scope === undefined ? [EVERY_APP, ...call.portal.scope] : [scope]
      const all = isTruthy(call.text('full'))
      return { result: bindable.filter(event => all || isInScope(event.scopes, scopes)).flatMap(event => codesOf(event, call.portal)) }
    }
  },
  'event.bind': { run: call => ({ result: bind(call) }) },
  'event.unbind': { run: call => ({ result: { count: call.portal.bindings.remove(unwanted(call)) } }) },
  'event.get': {
    run: call => {
      const { clientId, userId } = call.pair
      const rows = call.portal.bindings.find({ clientId, ...(!call.user.admin && { userId }) })
      return { result: rows.map(show) }
    }
  },
  'event.test': {
    run: call => {
      call.portal.emitUnchecked({ code: 'ONAPPTEST', data: { QUERY: call.params, LANGUAGE_ID: 'en' } }, call.cause)
      return { result: 1 }
    }
  }
}

function bind (call: RestCall): true {
  const event = call.needText('event').toUpperCase()
  const offline = isOffline(call)
  const row = { clientId: call.pair.clientId, event, ...(offline ? offlineTarget(call, event) : onlineTarget(call)), offline }
  if (!isKnown(event, call.portal)) throw new RestError(400, 'ERROR_EVENT_NOT_FOUND', 'Event not found')
  if (!call.portal.bindings.add(row)) throw new RestError(400, 'ERROR_CORE', 'Unable to set event handler: Handler already binded')
  return true
}

function isKnown (event: string, portal: RestPortal): boolean {
  const definition = definitionOf(event)
  if (definition === undefined || !bindable.includes(definition)) return false
  return isInScope(definition.scopes, [EVERY_APP, ...portal.scope]) && (baseCode(event) === event || codesOf(definition, portal).includes(event))
}

/** Events of smart processes have a common code and one per type. */
function codesOf ({ code, suffixed }: EventDefinition, { items }: RestPortal): string[] {
  return suffixed === true ? [code, ...items.dynamicTypes.map(type => `${code}_${type}`)] : [code]
}

function onlineTarget (call: RestCall): Pick<Binding, 'handler' | 'userId' | 'connector'> {
  const handler = call.needText('handler')
  checkHandler(handler)
  const userId = call.integer('auth_type') ?? 0
  if (call.user.admin) return { handler, userId, connector: '' }
  if (userId !== 0 && userId !== call.pair.userId) throw accessDenied()
  return { handler, userId: call.pair.userId, connector: '' }
}

function offlineTarget (call: RestCall, event: string): Pick<Binding, 'handler' | 'userId' | 'connector'> {
  call.needAdmin()
  if (event === 'ONOFFLINEEVENT') throw wrongArgument('event', 'cannot be an offline event')
  const { connector } = call.queueName
  if (connector !== '' && !call.portal.features.has('rest_auth_connector')) throw new RestError(403, 'WRONG_LICENSE', 'The plan has no auth_connector')
  return { handler: '', userId: 0, connector }
}

function checkHandler (handler: string): void {
  if (!URL.canParse(handler)) throw new RestError(400, 'ERROR_WRONG_HANDLER_URL', 'Wrong handler URL')
  const { protocol, hostname } = new URL(handler)
  if (!/^https?:$/.test(protocol)) throw new RestError(400, 'ERROR_UNSUPPORTED_PROTOCOL', 'Unsupported event handler protocol')
  if (!hostname.includes('.')) throw new RestError(400, 'ERROR_WRONG_HANDLER_URL', 'Wrong handler URL')
}

/** Returns the bindings selected by `event.unbind`; those of all users for an admin without `auth_type`. */
function unwanted (call: RestCall): Partial<Binding> {
  const { clientId, userId } = call.pair
  const event = call.needText('event').toUpperCase()
  if (isOffline(call)) {
    call.needAdmin()
    return { clientId, event, offline: true, connector: call.queueName.connector }
  }
  const row = { clientId, event, offline: false, handler: call.needText('handler') }
  if (!call.user.admin) return { ...row, userId }
  const authType = call.integer('auth_type')
  return authType === undefined ? row : { ...row, userId: authType }
}

function isOffline (call: RestCall): boolean {
  const type = call.text('event_type') ?? 'online'
  if (type !== 'online' && type !== 'offline') throw wrongArgument('event_type', 'must be online or offline')
  return type === 'offline'
}

function show ({ event, handler, userId, offline, connector }: Binding): object {
  return offline ? { event, connector_id: connector, offline: 1 } : { event, handler, auth_type: String(userId), offline: 0 }
}

const FIELDS = ['ID', 'TIMESTAMP_X', 'EVENT_NAME', 'MESSAGE_ID']
const LISTED_FIELDS = [...FIELDS, 'PROCESS_ID', 'ERROR']
const MESSAGE_ID_LENGTH = 32

/** `event.offline.*`. */
export const offlineMethods: MethodTable = {
  'event.offline.get': { run: call => ({ result: get(call) }) },
  'event.offline.clear': {
    run: call => {
      call.needAdmin()
      const messageIds = messageIdsOf(call)
      call.portal.offlineEvents.clear(call.queueName, processIdOf(call), { ids: call.list('id'), messageIds })
      return { result: true }
    }
  },
  'event.offline.error': {
    run: call => {
      call.needAdmin()
      const messageIds = messageIdsOf(call)
      call.portal.offlineEvents.markErrors(call.queueName, processIdOf(call), messageIds)
      return { result: true }
    }
  },
  'event.offline.list': {
    run: call => {
      call.needAdmin()
      const rows = call.portal.offlineEvents.list(call.queueName, filterOf(call, LISTED_FIELDS), orderOf(call, 'ID'))
      return page(call, rows)
    }
  }
}

function get (call: RestCall): object {
  call.needAdmin()
  const { portal: { features, offlineEvents }, queueName } = call
  const clears = call.text('clear') !== '0'
  if (!clears && !features.has('rest_offline_extended')) throw new RestError(403, 'WRONG_LICENSE', 'The plan has no extended offline events')
  const limit = call.integer('limit') ?? 50
  if (limit <= 0) throw wrongArgument('limit', 'must be positive')
  const batch = { filter: filterOf(call, FIELDS), order: orderOf(call, 'TIMESTAMP_X'), limit, error: call.text('error') === '1' }
  const given = call.text('process_id')?.trim()
  const processId = given ?? offlineEvents.reserve(queueName, batch)
  const events = offlineEvents.read(queueName, processId, batch)
  // Clears the whole batch, including rows beyond the limit.
  if (clears && events.length > 0) offlineEvents.clear(queueName, processId)
  return { process_id: clears && given === undefined ? null : processId, events }
}

/** An empty process id is valid and means rows that are not reserved. */
function processIdOf (call: RestCall): string {
  const processId = call.text('process_id')
  if (processId === undefined) throw wrongArgument('process_id')
  return processId
}

function messageIdsOf (call: RestCall): string[] {
  const messageIds = call.list('message_id')
  if (messageIds.some(id => id.length !== MESSAGE_ID_LENGTH)) throw wrongArgument('message_id', 'has a wrong value')
  return messageIds
}

function filterOf (call: RestCall, fields: string[]): Row {
  const filter = call.map('filter')
  for (const [key, value] of Object.entries(filter)) {
    if (!fields.includes(key.replace(/^[<>=]+/, '')) || typeof value === 'object') throw wrongArgument('filter', 'has a wrong field or value')
  }
  return filter
}

function orderOf (call: RestCall, fallback: string): Row {
  const order = call.map('order')
  return Object.keys(order).length > 0 ? order : { [fallback]: 'ASC' }
}

import { catalogue } from '../../../events/catalogue/index.ts'
import { baseCode, definitionOf } from '../../../events/definitions.ts'
import type { EventDefinition } from '../../../events/catalogue/definition.ts'
import type { Binding } from '../../portal/bindings.ts'
import type { RestPortal } from '../../portal/rest-portal.ts'
import { isInScope, isTruthy, type MethodTable, type RestCall } from '../rest-call.ts'
import { accessDenied, RestError, wrongArgument } from '../rest-error.ts'

/** Scope of the events that every app may bind. */
const EVERY_APP = 'basic'

/** All but what is only to be fetched. */
const bindable = Object.values<EventDefinition>(catalogue).filter(({ delivery }) => delivery !== 'fetch')

/** `event.*` beside the offline queue. */
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
      call.portal.spread({ code: 'ONAPPTEST', data: { QUERY: call.params, LANGUAGE_ID: 'en' } }, call.cause)
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

/** Events of smart processes have a code for each type that is there, beside the common one. */
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

/** The rows that `event.unbind` means; of an admin without `auth_type`, those of all users. */
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

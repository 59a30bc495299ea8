import type { MethodTable, RestCall } from '../rest-call.ts'
import { RestError, wrongArgument } from '../rest-error.ts'
import type { Row } from '../../portal/row-query.ts'
import { page } from './page.ts'

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
  // The whole batch goes, also what is beyond the limit.
  if (clears && events.length > 0) offlineEvents.clear(queueName, processId)
  return { process_id: clears && given === undefined ? null : processId, events }
}

/** An empty one is taken, and means what is not reserved. */
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

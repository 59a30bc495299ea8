import type { Change } from '../../portal/items.ts'
import type { MethodTable, RestCall } from '../rest-call.ts'
import { RestError } from '../rest-error.ts'
import { meets, type Row, sorted } from '../../portal/row-query.ts'
import { page } from './page.ts'

/** `crm.item.*` and `crm.type.list`. */
export const crmMethods: MethodTable = {
  'crm.item.get': { scope: 'crm', run: call => ({ result: { item: existing(call) } }) },
  'crm.item.list': {
    scope: 'crm',
    run: call => {
      const rows = call.portal.items.all(typeOf(call)).filter(item => meets(item, call.map('filter')))
      const order = call.map('order')
      const inOrder = sorted(rows, Object.keys(order).length > 0 ? order : { id: 'ASC' })
      return page(call, inOrder.map(item => selected(item, call.list('select'))), items => ({ items }))
    }
  },
  'crm.item.add': {
    scope: 'crm',
    run: call => {
      const { items } = call.portal
      const type = typeOf(call)
      const item = items.put(type, items.nextId(type), call.map('fields'))
      tell(call, item, 'ADD')
      return { result: { item } }
    }
  },
  'crm.item.update': {
    scope: 'crm',
    run: call => {
      const { id } = existing(call)
      const item = call.portal.items.put(typeOf(call), Number(id), call.map('fields'))
      tell(call, item, 'UPDATE')
      return { result: { item } }
    }
  },
  'crm.item.delete': {
    scope: 'crm',
    run: call => {
      const item = existing(call)
      call.portal.items.delete(typeOf(call), Number(item['id']))
      tell(call, item, 'DELETE')
      return { result: [] }
    }
  },
  'crm.type.list': { scope: 'crm', run: call => page(call, call.portal.items.types, types => ({ types })) }
}

function typeOf (call: RestCall): number {
  const type = Number(call.needText('entitytypeid'))
  if (!call.portal.items.knows(type)) throw new RestError(400, 'NOT_FOUND', 'Smart process not found')
  return type
}

function existing (call: RestCall): Row {
  const item = call.portal.items.get(typeOf(call), Number(call.needText('id')))
  if (item === undefined) throw new RestError(400, 'NOT_FOUND', 'Item not found')
  return item
}

/** Nobody waits for the deliveries: the answer goes out at once. */
function tell (call: RestCall, item: Row, change: Change): void {
  call.portal.tell(Number(item['entityTypeId']), Number(item['id']), change, call.cause)
}

function selected (item: Row, names: string[]): Row {
  if (names.length === 0 || names.includes('*')) return item
  return Object.fromEntries(Object.entries(item).filter(([name]) => name === 'id' || names.includes(name)))
}

import { type Change, eventsOf } from '../../portal/items.ts'
import { type MethodTable, type RestCall, RestError } from '../rest-call.ts'
import { fieldsOf, meets, type Row, sorted } from '../../portal/row-query.ts'
import { page } from './lists.ts'

const READ_ONLY = ['id', 'entityTypeId', 'createdTime', 'updatedTime']

/** `crm.item.*` and `crm.type.list`. */
export const crmMethods: MethodTable = {
  'crm.item.get': { scope: 'crm', run: call => ({ result: { item: existing(call) } }) },
  'crm.item.list': {
    scope: 'crm',
    run: call => {
      const type = typeOf(call)
      const [filter, order] = [call.map('filter'), call.map('order')]
      checkQuery(call, type, filter, order)
      const rows = call.portal.items.all(type).filter(item => meets(item, filter))
      const inOrder = sorted(rows, Object.keys(order).length > 0 ? order : { id: 'ASC' })
      return page(call, inOrder, items => ({ items: items.map(item => selected(item as Row, call.list('select'))) }))
    }
  },
  'crm.item.add': {
    scope: 'crm',
    run: call => {
      const { items } = call.portal
      const type = typeOf(call)
      const item = items.set(type, items.nextId(type), fieldsToSet(call))
      emit(call, item, 'ADD')
      return { result: { item } }
    }
  },
  'crm.item.update': {
    scope: 'crm',
    run: call => {
      const [type, id] = [typeOf(call), Number(existing(call)['id'])]
      if (call.portal.items.update(type, id, fieldsToSet(call))) emit(call, existing(call), 'UPDATE')
      return { result: { item: existing(call) } }
    }
  },
  'crm.item.delete': {
    scope: 'crm',
    run: call => {
      const item = existing(call)
      call.portal.items.delete(typeOf(call), Number(item['id']))
      emit(call, item, 'DELETE')
      return { result: [] }
    }
  },
  'crm.type.list': { scope: 'crm', run: call => page(call, call.portal.items.types, types => ({ types })) }
}

function typeOf (call: RestCall): number {
  const type = Number(call.needText('entitytypeid'))
  if (!call.portal.items.hasType(type)) throw new RestError(400, 'NOT_FOUND', 'Smart process not found')
  return type
}

function existing (call: RestCall): Row {
  const item = call.portal.items.get(typeOf(call), Number(call.needText('id')))
  if (item === undefined) throw new RestError(400, 'NOT_FOUND', 'Item not found')
  return item
}

function fieldsToSet (call: RestCall): Row {
  return Object.fromEntries(Object.entries(call.map('fields')).filter(([name]) => !READ_ONLY.includes(name)))
}

/** @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/crm/universal/crm-item-list.md */
function checkQuery (call: RestCall, type: number, filter: Row, order: Row): void {
  const { items } = call.portal
  for (const name of fieldsOf(filter)) {
    if (!items.hasField(type, name)) throw new RestError(400, 'INVALID_ARG_VALUE', `Invalid filter: field '${name}' is not allowed in filter`)
  }
  for (const [name, direction] of Object.entries(order)) {
    if (!items.hasField(type, name)) throw new RestError(400, 'INVALID_ARG_VALUE', `Invalid order: field '${name}' is not allowed in order`)
    if (/^(asc|desc)$/i.test(String(direction))) continue
    throw new RestError(400, 'INVALID_ARG_VALUE', `Invalid order: allowed sort directions are \`ASC, DESC\`. But got '${direction}' for field '${name}'`)
  }
}

/** Emits the event without awaiting its deliveries. */
function emit (call: RestCall, { entityTypeId, id }: Row, change: Change): void {
  for (const event of eventsOf(Number(entityTypeId), Number(id), change)) call.portal.emitUnchecked(event, call.cause)
}

function selected (item: Row, names: string[]): Row {
  if (names.length === 0 || names.includes('*')) return item
  return Object.fromEntries(Object.entries(item).filter(([name]) => name === 'id' || names.includes(name)))
}

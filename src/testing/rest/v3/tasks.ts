import type { Row } from '../../portal/row-query.ts'
import { sorted } from '../../portal/row-query.ts'
import { invalidRequest, refusal } from './error.ts'
import { meetsV3 } from './filter.ts'
import type { CallV3, MethodV3 } from './method.ts'

const SCOPE = 'tasks'
const PAGE = 50
const LARGEST_PAGE = 1_000

/**
 * `tasks.task.add`, `.get` and `.list` of REST 3, with the fields that a test gives.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/tasks/tasks-task-list-rest-v3.md
 */
export const taskMethods: Readonly<Record<string, MethodV3>> = {
  'tasks.task.add': { scope: SCOPE, run: add },
  'tasks.task.get': { scope: SCOPE, run: get },
  'tasks.task.list': { scope: SCOPE, run: list }
}

function add ({ portal, pair, params }: CallV3): object {
  const { fields } = params
  if (!isRow(fields)) throw invalidRequest('fields', 'Required field `fields` is missing')
  for (const [name, type] of [['title', 'string'], ['creatorId', 'int'], ['responsibleId', 'int']] as const) {
    const value = fields[name]
    if (value === undefined) throw invalidRequest(name, `Required field \`${name}\` is missing`)
    const fits = type === 'int' ? Number.isInteger(value) : typeof value === 'string'
    if (!fits) throw invalidRequest(name, `Field \`${name}\` requires the type \`${type}\``)
  }
  const id = portal.tasks.size + 1
  const item = { description: '', deadline: null, priority: 'average', status: 'pending', ...fields, id }
  portal.tasks.set(id, item)
  const data = { FIELDS_BEFORE: 'undefined', FIELDS_AFTER: { ID: id }, IS_ACCESSIBLE_BEFORE: 'undefined', IS_ACCESSIBLE_AFTER: 'undefined' }
  portal.spread({ code: 'ONTASKADD', data }, { userId: pair.userId, clientId: pair.clientId })
  return { item }
}

function get ({ portal, params: { id, select } }: CallV3): object {
  if (id === undefined) throw invalidRequest('id', 'Required field `id` is missing')
  if (!Number.isInteger(id)) throw invalidRequest('id', 'Field `id` requires the type `int`')
  const task = portal.tasks.get(id as number)
  if (task === undefined) throw refusal(400, 'ENTITYNOTFOUNDEXCEPTION', `Entity with ID = \`${String(id)}\` not found`)
  return { item: Array.isArray(select) ? pick(task, select) : task }
}

function list ({ portal, params }: CallV3): object {
  const { select, filter, order } = params
  const tasks = [...portal.tasks.values()]
  const met = tasks.filter(task => meetsV3(task, filter, ['id']))
  const inOrder = sorted(met, isRow(order) ? order : { id: 'ASC' })
  const { offset, limit } = pageOf(params)
  // Without `select` a list gives ids only.
  return { items: inOrder.slice(offset, offset + limit).map(task => pick(task, Array.isArray(select) ? select : ['id'])) }
}

function pageOf ({ pagination = {} }: Row): { offset: number, limit: number } {
  const { page, limit = PAGE, offset = 0 } = (isRow(pagination) ? pagination : {}) as Row
  const numbers = [page ?? 1, limit, offset].map(Number)
  const isWrong = numbers.some(number => !Number.isInteger(number) || number < 0) || numbers[1] === 0
  if (isWrong) throw refusal(400, 'INVALIDPAGINATIONEXCEPTION', `Cannot parse the pagination parameter \`${JSON.stringify(pagination)}\``)
  const [pageNumber, size, from] = numbers as [number, number, number]
  const most = Math.min(size, LARGEST_PAGE)
  return { limit: most, offset: page === undefined ? from : (Math.max(1, pageNumber) - 1) * most }
}

function pick (task: Row, names: unknown[]): Row {
  return Object.fromEntries(Object.entries(task).filter(([name]) => names.includes(name)))
}

function isRow (value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

import type { RestPortal } from '../../portal/rest-portal.ts'
import { meets, type Row, sorted } from '../../portal/row-query.ts'
import type { SimulatedPair } from '../../tokens.ts'
import { RestError } from '../rest-call.ts'

const SCOPE = 'tasks'
const PAGE = 50
const LARGEST_PAGE = 1_000

/**
 * `tasks.task.add`, `.get` and `.list` of REST 3, with arbitrary fields.
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
  portal.emitUnchecked({ code: 'ONTASKADD', data }, { userId: pair.userId, clientId: pair.clientId })
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
  // Without `select` a list contains only ids.
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

const OPERATORS = ['=', '!=', '>', '>=', '<', '<=', 'in', 'between']

/**
 * Returns whether a row matches a filter of REST 3: `[['id', '>', 5], { logic: 'or', conditions: [['id', [1, 2]], …] }]`.
 *
 * @param filterable allowed fields
 * @throws RestError for another field or an unknown operator
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/rest-v3.md#filter
 */
export function meetsV3 (row: Row, filter: unknown, filterable: readonly string[]): boolean {
  return conditionsOf(filter).every(condition => holds(row, condition, filterable))
}

function holds (row: Row, condition: unknown, filterable: readonly string[]): boolean {
  if (!Array.isArray(condition)) {
    const { logic = 'and', conditions } = condition as Row
    const results = conditionsOf(conditions).map(one => holds(row, one, filterable))
    return logic === 'or' ? results.includes(true) : !results.includes(false)
  }
  const [field, operator, wanted] = condition.length === 2 ? [condition[0], Array.isArray(condition[1]) ? 'in' : '=', condition[1]] : condition
  if (!filterable.includes(String(field))) throw invalidRequest(String(field), `Field \`${String(field)}\` requires the attribute \`Filterable\``)
  if (!OPERATORS.includes(operator)) throw refusal(400, 'UNKNOWNFILTEROPERATOREXCEPTION', `Unknown filter operator \`${String(operator)}\``)
  if (operator === 'between') return meets(row, { [`>=${field}`]: wanted[0], [`<=${field}`]: wanted[1] })
  return meets(row, { [`${operator === 'in' ? '@' : operator}${field}`]: wanted })
}

function conditionsOf (filter: unknown): unknown[] {
  if (filter === undefined) return []
  if (!Array.isArray(filter)) throw refusal(400, 'INVALIDFILTEREXCEPTION', 'Cannot parse the filter')
  // A single condition need not be in a list.
  return typeof filter[0] === 'string' ? [filter] : filter
}

const PREFIX = 'BITRIX_REST_V3_EXCEPTION_'

/** Creates an error of REST 3, such as `refusal(403, 'ACCESSDENIEDEXCEPTION', 'Access denied')`. */
export function refusal (status: number, name: string, message: string, more?: Record<string, unknown>): RestError {
  return new RestError(status, PREFIX + name, message, more)
}

/** Creates the error of REST 3 for a missing or invalid field of the request. */
export function invalidRequest (field: string, problem: string): RestError {
  const validation = [{ message: problem, field }]
  return refusal(400, 'VALIDATION_REQUESTVALIDATIONEXCEPTION', 'Request object validation failed', { validation })
}

/** An authorized call of REST 3. */
export interface CallV3 {
  portal: RestPortal
  pair: SimulatedPair
  params: Row
}

/** One method of REST 3. */
export interface MethodV3 {
  /** Required permission of the app. */
  scope?: string
  /** Returns `result`. */
  run: (call: CallV3) => unknown
}

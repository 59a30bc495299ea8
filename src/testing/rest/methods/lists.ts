import type { ListOptions } from '../../portal/method-stubs.ts'
import { meets, type Row, sorted } from '../../portal/row-query.ts'
import type { SimulatedUser } from '../../portal/users.ts'
import { type CallOutcome, isTruthy, type MethodTable, type RestCall } from '../rest-call.ts'

/** Any of these permissions is sufficient. */
export const USER_SCOPES = ['user', 'user_basic', 'user_brief']

/** Lists with special formats. */
export const listMethods: MethodTable = {
  'user.get': { scope: USER_SCOPES, run: listUsers },
  // All rows in one response.
  'crm.status.list': { scope: 'crm', run: call => listRows(call, sorted(call.portal.statuses, { ID: 'ASC' }), { paged: false }) },
  // Rows without an id.
  'crm.address.list': { scope: 'crm', run: call => listRows(call, call.portal.addresses) }
}

/** Returns a list like most methods: with `filter`, `order`, `select` and `start`. */
export function listRows (call: RestCall, rows: readonly Row[], { key, paged = true }: ListOptions = {}): CallOutcome {
  const select = call.list('select')
  const shown = sorted(rows.filter(row => meets(row, call.map('filter'))), call.map('order'))
  const show = (some: readonly Row[]): unknown => {
    const picked = some.map(row => pick(row, select))
    return key === undefined ? picked : { [key]: picked }
  }
  return paged ? page(call, shown, show) : { result: show(shown), total: shown.length }
}

/** Returns a user in the format of `user.get` and `user.current`. */
export function describeUser ({ id, active, name }: SimulatedUser): Row {
  return { ID: String(id), ACTIVE: active, NAME: name, LAST_NAME: '', USER_TYPE: 'employee' }
}

/**
 * `sort` and `order` are separate strings; filter fields may also be top-level parameters.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/user/user-get.md
 */
function listUsers (call: RestCall): CallOutcome {
  const users = call.portal.users().map(describeUser)
  const [sort, order] = [call.text('sort'), call.text('order')]
  const query = Object.keys(call.map('filter')).length > 0 ? call.map('filter') : call.params
  const filter = Object.fromEntries(Object.entries(query).map(([key, wanted]) => [key.toUpperCase(), /ACTIVE$/i.test(key) ? yesNo(wanted) : wanted]))
  const known = Object.entries(filter).filter(([key]) => Object.hasOwn(users[0] ?? {}, key.replace(/^\W+/, '')))
  const rows = users.map(user => ({ user, shown: { ...user, ACTIVE: yesNo(user['ACTIVE']) } }))
  const met = rows.filter(({ shown }) => meets(shown, Object.fromEntries(known))).map(({ user }) => user)
  const inOrder = sorted(met, sort !== undefined && order !== undefined ? { [sort]: order } : { ID: 'ASC' })
  // Where there is nobody, nothing is counted either.
  return inOrder.length === 0 ? { result: [] } : page(call, inOrder, some => some.map(user => pick(user, call.list('select'))))
}

/** As PHP reads a boolean. */
function yesNo (value: unknown): string {
  return isTruthy(value) && value !== 'N' ? 'Y' : 'N'
}

function pick (row: Row, names: string[]): Row {
  if (names.length === 0 || names.includes('*')) return row
  return Object.fromEntries(Object.entries(row).filter(([name]) => names.includes(name)))
}

const PAGE = 50

/** Returns a page of a list. `start=-1` skips counting: `total` is 0 and `next` is absent. */
export function page<T> (call: RestCall, rows: readonly T[], show: (rows: readonly T[]) => unknown = rows => rows): CallOutcome {
  const start = call.integer('start') ?? 0
  if (start < 0) return { result: show(rows.slice(0, PAGE)), total: 0 }
  const next = start + PAGE
  return { result: show(rows.slice(start, next)), ...(next < rows.length && { next }), total: rows.length }
}

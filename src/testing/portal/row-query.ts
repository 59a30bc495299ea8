/** A row in REST format. */
export type Row = Record<string, unknown>

type Condition = (value: unknown, wanted: unknown) => boolean

const KEY = /^(!=%|!%=|!=|!@|!%|=%|%=|>=|<=|[=<>!@%])?(.*)$/s

const not = (holds: Condition): Condition => (value, wanted) => !holds(value, wanted)
const inOrder = (holds: (order: number) => boolean): Condition => (value, wanted) => value !== null && value !== undefined && holds(compare(value, wanted))

const CONDITIONS: Record<string, Condition> = {
  '=': isOneOf,
  '@': isOneOf,
  '!': not(isOneOf),
  '!=': not(isOneOf),
  '!@': not(isOneOf),
  '%': contains,
  '!%': not(contains),
  '=%': isLike,
  '%=': isLike,
  '!=%': not(isLike),
  '!%=': not(isLike),
  '>': inOrder(order => order > 0),
  '>=': inOrder(order => order >= 0),
  '<': inOrder(order => order < 0),
  '<=': inOrder(order => order <= 0)
}

/**
 * Returns whether a row matches a filter: `{ '>=id': 5, '@stageId': ['A', 'B'], 0: { logic: 'OR', title: 'a', '%title': 'b' } }`.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/crm/universal/crm-item-list.md
 */
export function meets (row: Row, filter: Row): boolean {
  const conditions = Object.entries(filter).filter(([key]) => !isLogic(key))
  const holds = ([key, wanted]: [string, unknown]): boolean => {
    if (isGroup(key, wanted)) return meets(row, wanted)
    const { operator, name } = parseKey(key)
    return (CONDITIONS[operator] as Condition)(row[name], wanted)
  }
  return isOr(filter) && conditions.length > 0 ? conditions.some(holds) : conditions.every(holds)
}

/** Returns the field names in a filter, including nested groups. */
export function fieldsOf (filter: Row): string[] {
  return Object.entries(filter).filter(([key]) => !isLogic(key)).flatMap(([key, wanted]) => {
    return isGroup(key, wanted) ? fieldsOf(wanted) : parseKey(key).name
  })
}

/** Sorts rows by an order in Bitrix24's format: `{ ID: 'DESC' }`. */
export function sorted<T extends Row> (rows: readonly T[], order: Row): T[] {
  const names = Object.entries(order)
  return [...rows].sort((a, b) => {
    for (const [name, direction] of names) {
      const place = compare(a[name], b[name])
      if (place !== 0) return /^desc$/i.test(String(direction)) ? -place : place
    }
    return 0
  })
}

function parseKey (key: string): { operator: string, name: string } {
  const [, operator = '=', name = ''] = KEY.exec(key) as RegExpExecArray
  return { operator, name }
}

function isLogic (key: string): boolean {
  return key.toLowerCase() === 'logic'
}

function isOr (filter: Row): boolean {
  return Object.entries(filter).some(([key, value]) => isLogic(key) && /^or$/i.test(String(value)))
}

function isGroup (key: string, wanted: unknown): wanted is Row {
  return typeof wanted === 'object' && wanted !== null && /^\d+$/.test(key)
}

/** A field with multiple values matches if one of them does. */
function isOneOf (value: unknown, wanted: unknown): boolean {
  return valuesOf(wanted).some(one => valuesOf(value).some(own => compare(own, one) === 0))
}

function contains (value: unknown, wanted: unknown): boolean {
  const text = lower(value)
  return valuesOf(wanted).some(one => text.includes(lower(one)))
}

/** Like SQL's LIKE: `%` matches any text. */
function isLike (value: unknown, wanted: unknown): boolean {
  const text = lower(value)
  return valuesOf(wanted).some(one => new RegExp(`^${lower(one).split('%').map(escape).join('.*')}$`, 's').test(text))
}

function escape (text: string): string {
  return text.replace(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`)
}

function valuesOf (value: unknown): unknown[] {
  if (typeof value !== 'object' || value === null) return [value]
  const values = Object.values(value)
  return values.length > 0 ? values : [undefined]
}

function lower (value: unknown): string {
  return String(value ?? '').toLowerCase()
}

/** Compares numbers by value and dates by instant, even as text; anything else as text. */
function compare (a: unknown, b: unknown): number {
  const [left, right] = [a, b].map(value => String(value ?? '')) as [string, string]
  if (left === right) return 0
  if (isNumber(left) && isNumber(right)) return Number(left) - Number(right)
  const [from, to] = [instantOf(left), instantOf(right)]
  if (from !== undefined && to !== undefined) return from - to
  return left < right ? -1 : 1
}

function isNumber (text: string): boolean {
  return text !== '' && Number.isFinite(Number(text))
}

const DATE = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(?:(Z)|([+-]\d\d):?(\d\d))?)?$/i

/** Parses a date; without an offset it is in the portal's time zone, here UTC. */
function instantOf (text: string): number | undefined {
  if (text[4] !== '-') return undefined
  const parts = DATE.exec(text)
  if (parts === null) return undefined
  const [, day, time = '00:00', , hours = '+00', minutes = '00'] = parts
  const instant = Date.parse(`${day}T${time}${hours}:${minutes}`)
  return Number.isNaN(instant) ? undefined : instant
}

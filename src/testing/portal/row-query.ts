/** A row as REST shows it. */
export type Row = Record<string, unknown>

const CONDITION = /^(>=|<=|!=|[=<>!@])?(.*)$/s

const COMPARES: Record<string, (order: number) => boolean> = {
  '>=': order => order >= 0,
  '<=': order => order <= 0,
  '>': order => order > 0,
  '<': order => order < 0,
  '!=': order => order !== 0,
  '!': order => order !== 0
}

/** Tells whether a row meets a filter of Bitrix24's form: `{ '>=ID': 5, '@STAGE': ['A', 'B'] }`. */
export function meets (row: Row, filter: Row): boolean {
  return Object.entries(filter).every(([key, wanted]) => {
    const [, operator = '=', name = ''] = CONDITION.exec(key) as RegExpExecArray
    const holds = COMPARES[operator]
    if (holds !== undefined) return holds(compare(row[name], wanted))
    return (Array.isArray(wanted) ? wanted : [wanted]).some(value => compare(row[name], value) === 0)
  })
}

/** Sorts rows by an order of Bitrix24's form: `{ ID: 'DESC' }`. */
export function sorted<T extends Row> (rows: readonly T[], order: Row): T[] {
  return [...rows].sort((a, b) => {
    for (const [name, direction] of Object.entries(order)) {
      const place = compare(a[name], b[name])
      if (place !== 0) return /^desc$/i.test(String(direction)) ? -place : place
    }
    return 0
  })
}

/** Numbers by their value, also those written as text; all else by its text. */
function compare (a: unknown, b: unknown): number {
  const [left, right] = [a, b].map(value => String(value ?? ''))
  if (isNumber(left) && isNumber(right)) return Number(left) - Number(right)
  return left === right ? 0 : (left as string) < (right as string) ? -1 : 1
}

function isNumber (text: string | undefined): boolean {
  return text !== undefined && text !== '' && Number.isFinite(Number(text))
}

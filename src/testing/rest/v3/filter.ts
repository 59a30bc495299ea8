import { meets, type Row } from '../../portal/row-query.ts'
import { invalidRequest, refusal } from './error.ts'

const OPERATORS = ['=', '!=', '>', '>=', '<', '<=', 'in', 'between']

/**
 * Returns whether a row meets a filter of REST 3: `[['id', '>', 5], { logic: 'or', conditions: [['id', [1, 2]], …] }]`.
 *
 * @param filterable fields that may be asked about
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
  // A single condition may stand without a list around it.
  return typeof filter[0] === 'string' ? [filter] : filter
}

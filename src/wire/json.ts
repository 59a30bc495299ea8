import { FST_B24_ENVELOPE, FST_B24_FORM_KEY, FST_B24_FORM_LIMIT, FST_B24_JSON } from '../errors.ts'
import { emptyMap, isPrototypeKey, MAX_DEPTH, MAX_FIELDS, MAX_KEY_LENGTH, type WireMap, type WireValue } from './form-tree.ts'

interface Count { fields: number }

/**
 * Decodes a JSON body into the same shape as a form, with the same limits and forbidden keys. The last value of a repeated key
 * wins, as in `JSON.parse`.
 * @throws FST_B24_JSON for invalid JSON
 * @throws FST_B24_ENVELOPE for JSON that is not an object
 * @throws FST_B24_FORM_LIMIT for more than 16 levels, 1,000 fields, 1,024 characters of a key, or a number out of range
 * @throws FST_B24_FORM_KEY for a prototype key
 */
export function decodeJson (body: string): WireMap {
  const tree = parse(body)
  if (typeof tree !== 'object' || tree === null || Array.isArray(tree)) throw new FST_B24_ENVELOPE('body must be an object')
  return copyMap(tree, 1, { fields: 0 })
}

function parse (body: string): WireValue {
  try {
    return JSON.parse(body)
  } catch {
    // The error of the parser quotes the body.
    throw new FST_B24_JSON()
  }
}

function copyMap (source: WireMap, depth: number, count: Count): WireMap {
  const map = emptyMap()
  for (const key of Object.keys(source)) {
    if (key.length > MAX_KEY_LENGTH) throw new FST_B24_FORM_LIMIT('key length')
    if (isPrototypeKey(key)) throw new FST_B24_FORM_KEY('a prototype key')
    map[key] = copy(source[key] as WireValue, depth, count)
  }
  return map
}

function copy (value: WireValue, depth: number, count: Count): WireValue {
  // Maps and lists count too, so that nesting does not bypass the limit.
  if (++count.fields > MAX_FIELDS) throw new FST_B24_FORM_LIMIT('fields')
  if (typeof value === 'object' && value !== null) {
    if (depth === MAX_DEPTH) throw new FST_B24_FORM_LIMIT('depth')
    if (!Array.isArray(value)) return copyMap(value, depth + 1, count)
    return value.map(item => copy(item, depth + 1, count))
  }
  if (typeof value === 'number' && !Number.isFinite(value)) throw new FST_B24_FORM_LIMIT('number')
  return value
}

import { FST_B24_FORM_LIMIT } from '../errors.ts'
import { MAX_DEPTH } from './limits.ts'

/**
 * Writes what another parser made of a form as a form again, for `decodeForm`. Keys may have brackets, where that parser reads
 * none. What a form cannot have (`null`, functions) is left out.
 *
 * @throws FST_B24_FORM_LIMIT for more than 16 levels
 */
export function encodeTree (tree: object): string {
  const pairs: string[] = []
  collect(tree, '', 1, pairs)
  return pairs.join('&')
}

function collect (tree: object, prefix: string, depth: number, pairs: string[]): void {
  if (depth > MAX_DEPTH) throw new FST_B24_FORM_LIMIT('depth')
  for (const [key, value] of Object.entries(tree) as Array<[string, unknown]>) {
    const name = prefix === '' ? encodeURIComponent(key) : `${prefix}[${encodeURIComponent(key)}]`
    if (typeof value === 'object' && value !== null) collect(value, name, depth + 1, pairs)
    else if (typeof value === 'boolean') pairs.push(`${name}=${value ? 1 : 0}`)
    else if (typeof value === 'string' || typeof value === 'number') pairs.push(`${name}=${encodeURIComponent(value)}`)
  }
}

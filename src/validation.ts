import { FST_B24_INVALID_OPTIONS } from './errors.ts'

/** @throws FST_B24_INVALID_OPTIONS */
export function check (holds: boolean, message: string): asserts holds {
  if (!holds) throw new FST_B24_INVALID_OPTIONS(message)
}

/**
 * Rejects unknown options. `owner` starts the message: `delivery has no option 'x'`.
 *
 * @throws FST_B24_INVALID_OPTIONS
 */
export function checkOptionNames (owner: string, given: object, names: readonly string[]): void {
  for (const name of Object.keys(given)) check(names.includes(name), `${owner} has no option '${name}'${didYouMean(name, names)}`)
}

/**
 * Adds the defaults, which must contain every option.
 *
 * @throws FST_B24_INVALID_OPTIONS for an unknown option
 */
export function withDefaults<T extends object> (owner: string, defaults: T, given: { [K in keyof T]?: unknown }): T {
  const names = Object.keys(defaults) as Array<keyof T & string>
  checkOptionNames(owner, given, names)
  const settings = { ...defaults }
  for (const name of names) if (given[name] !== undefined) settings[name] = given[name] as T[typeof name]
  return settings
}

/** Type guard for non-empty strings. */
export function isText (value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

export function isList (value: unknown, isItem: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(item => isItem(item))
}

export function isNumberIn (value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && value >= least && value <= most
}

export function isIntegerIn (value: unknown, least: number, most: number): value is number {
  return Number.isSafeInteger(value) && isNumberIn(value, least, most)
}

/** Type guard for non-array objects. */
export function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Converts a string or number of a portal to text; anything else to `''`, since converting an object would call its `toString`. */
export function scalarText (value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
}

/** Maximum edit distance of a misspelled name. */
const MOST_EDITS = 3

/**
 * Finds the name that a misspelled one most likely means, ignoring case: up to three letters added, missing or wrong, depending on the
 * length, or one name being the start of the other. Returns `undefined` if no name is similar.
 */
export function nearestName (given: string, names: Iterable<string>): string | undefined {
  let nearest: string | undefined
  let least = Math.min(MOST_EDITS, Math.floor(given.length / 3)) + 1
  for (const name of names) {
    const edits = editsBetween(given.toLowerCase(), name.toLowerCase())
    if (edits < least) [nearest, least] = [name, edits]
  }
  return nearest
}

/** Returns the suggestion that ends a message about an unknown name, or `''`. */
export function didYouMean (given: string, names: Iterable<string>): string {
  const nearest = nearestName(given, names)
  return nearest === undefined ? '' : `; did you mean '${nearest}'?`
}

function editsBetween (a: string, b: string): number {
  const [short, long] = a.length < b.length ? [a, b] : [b, a]
  if (long.startsWith(short) && short.length >= long.length / 2) return long === short ? 0 : 1
  // Levenshtein distance, row by row.
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) next.push(Math.min(next[j]! + 1, row[j + 1]! + 1, row[j]! + (letter === b[j] ? 0 : 1)))
    row = next
  }
  return row[b.length]!
}

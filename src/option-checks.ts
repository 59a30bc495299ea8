import { FST_B24_INVALID_OPTIONS } from './errors.ts'
import { didYouMean } from './nearest-name.ts'

/** @throws FST_B24_INVALID_OPTIONS */
export function check (holds: boolean, message: string): asserts holds {
  if (!holds) throw new FST_B24_INVALID_OPTIONS(message)
}

/**
 * Refuses what there is not; `owner` begins the message: `delivery has no option 'x'`.
 *
 * @throws FST_B24_INVALID_OPTIONS
 */
export function checkNames (owner: string, given: object, names: readonly string[]): void {
  for (const name of Object.keys(given)) check(names.includes(name), `${owner} has no option '${name}'${didYouMean(name, names)}`)
}

/**
 * Puts the defaults in, which name every option.
 *
 * @throws FST_B24_INVALID_OPTIONS for an option that there is not
 */
export function complete<T extends object> (owner: string, defaults: T, given: { [K in keyof T]?: unknown }): T {
  const names = Object.keys(defaults) as Array<keyof T & string>
  checkNames(owner, given, names)
  const settings = { ...defaults }
  for (const name of names) if (given[name] !== undefined) settings[name] = given[name] as T[typeof name]
  return settings
}

/** Not empty. */
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

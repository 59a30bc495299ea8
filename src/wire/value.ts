/** What a decoded body holds: a form has strings, lists and maps; JSON has the other scalars too. */
export type WireValue = string | number | boolean | null | WireValue[] | WireMap

/** A map without a prototype. */
export interface WireMap { [key: string]: WireValue }

/** Makes a map that inherits nothing, so that no key of a body means more than its value. */
export function emptyMap (): WireMap {
  return Object.create(null)
}

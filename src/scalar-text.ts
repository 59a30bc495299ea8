/** Text of a string or a number that a portal sent, and `''` of all else: to make a string of a map would call its own `toString`. */
export function scalarText (value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
}

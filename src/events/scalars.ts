import { misfit, type Tally } from './tree.ts'

/** JSON numbers become strings where a string is documented: a form would have sent one. */
export function decodeString (value: unknown, tally: Tally): unknown {
  if (typeof value === 'string') return value
  return typeof value === 'number' ? String(value) : misfit(value, tally)
}

/** Only the one way to write an integer: `007`, `1e3` and what is too large to be exact stay strings. */
export function decodeInteger (value: unknown, tally: Tally): unknown {
  const number = typeof value === 'string' ? Number(value) : value
  if (!Number.isSafeInteger(number)) return misfit(value, tally)
  return typeof value !== 'string' || String(number) === value ? number : misfit(value, tally)
}

const DOUBLE = /^-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/

export function decodeNumber (value: unknown, tally: Tally): unknown {
  if (typeof value === 'number') return value
  return typeof value === 'string' && DOUBLE.test(value) ? Number(value) : misfit(value, tally)
}

const BOOLEANS = new Map<unknown, boolean>([
  [true, true], ['1', true], [1, true], ['true', true], ['Y', true],
  [false, false], ['0', false], [0, false], ['false', false], ['N', false]
])

export function decodeBoolean (value: unknown, tally: Tally): unknown {
  return BOOLEANS.get(value) ?? misfit(value, tally)
}

export function decodeFalse (value: unknown, tally: Tally): unknown {
  return BOOLEANS.get(value) === false ? false : misfit(value, tally)
}

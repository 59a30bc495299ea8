import { hasSecretInText, isSecret } from '../wire/redact.ts'

/** Counts the values that do not fit their documented type. */
export interface Tally { misfits: number }

export type Tree = Record<string, unknown>

/** Twice what `wire/` lets in. What lies deeper is left out: it can be no part of an event. */
const MAX_DEPTH = 32

/**
 * Sets a key. A secret, or a URL that carries one, can be read by its name but is not enumerable: loggers, `JSON.stringify` and spread do not see it.
 * The one key that would change the prototype is left out.
 */
export function put (target: Tree, key: string, value: unknown): void {
  if (isSecret(key, value) || hasSecretInText(value)) Object.defineProperty(target, key, { value, enumerable: false, writable: true, configurable: true })
  else if (key !== '__proto__') target[key] = value
}

/** Copies a value that has no documented type: as it came, in plain objects, with its secrets hidden. */
export function copyTree (value: unknown, tally: Tally, depth = 0): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (depth === MAX_DEPTH) {
    tally.misfits++
    return undefined
  }
  if (Array.isArray(value)) return value.map(item => copyTree(item, tally, depth + 1))
  const copy: Tree = {}
  for (const key of Object.keys(value)) put(copy, key, copyTree((value as Tree)[key], tally, depth + 1))
  return copy
}

/** Takes a value that does not fit as it came, and counts it. */
export function misfit (value: unknown, tally: Tally): unknown {
  tally.misfits++
  return copyTree(value, tally)
}

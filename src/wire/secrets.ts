import { hasSecretInText, isSecret } from './redact.ts'

/** A credential that was taken out of a tree, and where it stood. */
export type Secret = [path: string[], value: unknown]

type Tree = Record<string, unknown>

/**
 * Copies a decoded body, or a part of it, without its credentials at any depth, texts that carry one in a URL or in JSON among them, and lists
 * what was left out. The decoders let no prototype key in, so that the maps of the copy can be plain ones, which are quicker to make and to write.
 */
export function takeSecrets<T> (tree: T): { rest: T, secrets: Secret[] } {
  const secrets: Secret[] = []
  return { rest: copy(tree, [], secrets) as T, secrets }
}

/** Puts secrets back to where they stood. */
export function putSecrets (tree: unknown, secrets: readonly Secret[]): void {
  for (const [path, value] of secrets) {
    const parent = path.slice(0, -1).reduce<unknown>((node, key) => (node as Tree)[key], tree)
    ;(parent as Tree)[path.at(-1) as string] = value
  }
}

/** `path` is that of `value`; it grows and shrinks on the way. */
function copy (value: unknown, path: string[], secrets: Secret[]): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item, index) => hasSecretInText(item) ? take(item, String(index), path, secrets) : copyAt(item, String(index), path, secrets))
  const map: Tree = {}
  for (const key of Object.keys(value)) {
    const child = (value as Tree)[key]
    if (isSecret(key, child) || hasSecretInText(child)) take(child, key, path, secrets)
    else map[key] = copyAt(child, key, path, secrets)
  }
  return map
}

/** `null` keeps the place in a list. */
function take (value: unknown, key: string, path: string[], secrets: Secret[]): null {
  secrets.push([[...path, key], value])
  return null
}

function copyAt (value: unknown, key: string, path: string[], secrets: Secret[]): unknown {
  if (typeof value !== 'object') return value
  path.push(key)
  const copied = copy(value, path, secrets)
  path.pop()
  return copied
}

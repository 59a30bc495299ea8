import { isSecretKey } from './redact.ts'

/** A credential that was taken out of a tree, and where it stood. */
export type Secret = [path: string[], value: unknown]

type Tree = Record<string, unknown>

/** Copies a decoded body, or a part of it, without the secret keys at any depth, and lists what they held. */
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

function copy (value: unknown, path: string[], secrets: Secret[]): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item, index) => copy(item, [...path, String(index)], secrets))
  const map: Tree = Object.create(null)
  for (const [key, child] of Object.entries(value)) {
    if (isSecretKey(key)) secrets.push([[...path, key], child])
    else map[key] = copy(child, [...path, key], secrets)
  }
  return map
}

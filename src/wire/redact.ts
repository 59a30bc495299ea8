/**
 * Names of credentials, compared without case, `-` and `_`: fields of `auth`, tokens of bots and ONAPPUSERREADY inside `data`, fields
 * of page and placement requests and of robots, and `TOKEN` of ONAPPMETHODCONFIRM, an access token. Also any name of a password,
 * secret, API key or token that apps and portals use. `client_id` is not a secret.
 */
const CREDENTIAL = /passw(?:or)?d|passphrase|secret(?!ar)|apikey|privatekey|token(?!type|expires|count|limit)|^(?:authid|refreshid|appsid|sessid|phpsessid)$/

/** `auth`, `AUTH_ID`, `authorization`, `x-auth-key`; not `authorId`, `externalAuthId`, `AUTH_TYPE` and other descriptive names. */
const AUTH = /auth(?!or(?!iz(?:e|ation)$)|enticat|type|mode|method|status|scope|connector|expires|user|domain|provider|server|url|endpoint|required|enabled)/
const NO_AUTH = /^externalauth/

type Kind = 'secret' | 'auth' | 'plain'

/** Limits of the cache: senders choose the names. */
const MOST_KINDS = 4_096
const LONGEST_NAME = 64
const kinds = new Map<string, Kind>()

/**
 * Returns whether a value under this name is a credential, regardless of case, `-` and `_`. A map named `auth` is not one itself, but
 * its fields are checked.
 */
export function isSecret (name: string, value: unknown): boolean {
  const kind = kinds.get(name) ?? classify(name)
  return kind === 'secret' || (kind === 'auth' && (typeof value !== 'object' || value === null))
}

function classify (name: string): Kind {
  const kind = kindOf(name.toLowerCase().replace(/[-_\s]/g, ''))
  if (name.length > LONGEST_NAME) return kind
  if (kinds.size >= MOST_KINDS) kinds.clear()
  kinds.set(name, kind)
  return kind
}

function kindOf (name: string): Kind {
  if (CREDENTIAL.test(name)) return 'secret'
  return AUTH.test(name) && !NO_AUTH.test(name) ? 'auth' : 'plain'
}

/**
 * A name before its value: in a query (`?auth=`, `&auth[access_token]=`), in a query nested in another as a parameter (`%26auth%3D`),
 * and in JSON text (`"auth":"`), which may itself be nested in JSON.
 */
const MEMBER = /(?:[?&;#[]|%(?:25){0,3}(?:3F|26|3B|23|5B))([\w.-]{1,64})(?:\]|%(?:25){0,3}5D)?(=|%(?:25){0,3}3D)|"([\w.-]{1,64})\\{0,8}"\s{0,8}:\s{0,8}\\{0,8}"/gi
const IN_QUERY = /[^&;#\s"'<>\\]+/y
const IN_INNER_QUERY = /(?:(?!%(?:25){0,3}(?:26|3B|23))[^&;#\s"'<>\\])+/iy
const IN_JSON = /(?:[^"\\]|\\[^"\\])+/y

/** Yields the ranges of credentials in a text. */
function * secretsIn (text: string): Generator<[from: number, to: number]> {
  if (!/[=%"]/.test(text)) return
  let end = 0
  for (const { 0: { length }, 1: inQuery, 2: equals, 3: inJson, index } of text.matchAll(MEMBER)) {
    if (index < end || !isSecret(inQuery ?? inJson as string, '')) continue
    const pattern = equals === undefined ? IN_JSON : equals === '=' ? IN_QUERY : IN_INNER_QUERY
    const from = pattern.lastIndex = index + length
    if (!pattern.test(text)) continue
    end = pattern.lastIndex
    yield [from, end]
  }
}

/** Returns whether a value is a string with a credential in a query or in JSON. */
export function hasSecretInText (value: unknown): boolean {
  return typeof value === 'string' && secretsIn(value).next().done !== true
}

/** Removes credentials from queries and JSON in a text: `https://a/?auth=…&id=5` becomes `https://a/?auth=&id=5`. */
export function redactText (text: string): string {
  let [left, end] = ['', 0]
  for (const [from, to] of secretsIn(text)) {
    left += text.slice(end, from)
    end = to
  }
  return left + text.slice(end)
}

/**
 * Copies a decoded body, or a part of it, without credentials at any depth. Maps of the copy have no prototype.
 * Credentials that `T` declares are absent in the result.
 */
export function redact<T> (tree: T): T {
  return copy(tree) as T
}

function copy (value: unknown): unknown {
  if (typeof value === 'string') return redactText(value)
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(copy)
  const map: Record<string, unknown> = Object.create(null)
  for (const [key, child] of Object.entries(value)) {
    if (!isSecret(key, child)) map[key] = copy(child)
  }
  return map
}

/** A credential that was removed from a tree, with its path. */
export type Secret = [path: string[], value: unknown]

type Tree = Record<string, unknown>

/**
 * Copies a decoded body, or a part of it, without credentials at any depth, including strings with one in a URL or in JSON, and lists what
 * was removed. Maps of the copy are plain objects, which are faster to create and serialize: the decoders reject prototype keys.
 */
export function extractSecrets<T> (tree: T): { rest: T, secrets: Secret[] } {
  const secrets: Secret[] = []
  return { rest: copyWithout(tree, [], secrets) as T, secrets }
}

/** Puts secrets back at their paths. */
export function restoreSecrets (tree: unknown, secrets: readonly Secret[]): void {
  for (const [path, value] of secrets) {
    const parent = path.slice(0, -1).reduce<unknown>((node, key) => (node as Tree)[key], tree)
    ;(parent as Tree)[path.at(-1) as string] = value
  }
}

/** `path` is the path of `value`; it is modified during the walk. */
function copyWithout (value: unknown, path: string[], secrets: Secret[]): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item, index) => hasSecretInText(item) ? extract(item, String(index), path, secrets) : copyAt(item, String(index), path, secrets))
  const map: Tree = {}
  for (const key of Object.keys(value)) {
    const child = (value as Tree)[key]
    if (isSecret(key, child) || hasSecretInText(child)) extract(child, key, path, secrets)
    else map[key] = copyAt(child, key, path, secrets)
  }
  return map
}

/** Returns `null`, which keeps the position in a list. */
function extract (value: unknown, key: string, path: string[], secrets: Secret[]): null {
  secrets.push([[...path, key], value])
  return null
}

function copyAt (value: unknown, key: string, path: string[], secrets: Secret[]): unknown {
  if (typeof value !== 'object') return value
  path.push(key)
  const copied = copyWithout(value, path, secrets)
  path.pop()
  return copied
}

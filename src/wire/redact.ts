/**
 * What Bitrix24 sends as a credential, by its name without case, `-` and `_`: the fields of `auth`, of the tokens that bots and
 * ONAPPUSERREADY carry inside `data`, of page and placement posts, of robots, and `TOKEN` of ONAPPMETHODCONFIRM, which is the access
 * token that asked. And what apps and portals call so: any password, secret, key of an API or token. `client_id` is no secret.
 */
const CREDENTIAL = /passw(?:or)?d|passphrase|secret(?!ar)|apikey|privatekey|token(?!type|expires|count|limit)|^(?:authid|refreshid|appsid|sessid|phpsessid)$/

/** `auth`, `AUTH_ID`, `authorization`, `x-auth-key`; not `authorId`, `externalAuthId`, `AUTH_TYPE` and others that say who or how. */
const AUTH = /auth(?!or(?!iz(?:e|ation)$)|enticat|type|mode|method|status|scope|connector|expires|user|domain|provider|server|url|endpoint|required|enabled)/
const NO_AUTH = /^externalauth/

type Kind = 'secret' | 'auth' | 'plain'

/** Senders choose names: more than there are genuine ones are not remembered. */
const MOST_KINDS = 4_096
const LONGEST_NAME = 64
const kinds = new Map<string, Kind>()

/**
 * Returns whether a value under this name is a credential, regardless of case, `-` and `_`. A map named `auth` is none, but has
 * some: it is looked into.
 */
export function isSecret (name: string, value: unknown): boolean {
  const kind = kinds.get(name) ?? learn(name)
  return kind === 'secret' || (kind === 'auth' && (typeof value !== 'object' || value === null))
}

function learn (name: string): Kind {
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
 * A name before its value: in a query (`?auth=`, `&auth[access_token]=`), in one that is a parameter of another (`%26auth%3D`), and in
 * JSON that is a text (`"auth":"`), which may stand in JSON again.
 */
const MEMBER = /(?:[?&;#[]|%(?:25){0,3}(?:3F|26|3B|23|5B))([\w.-]{1,64})(?:\]|%(?:25){0,3}5D)?(=|%(?:25){0,3}3D)|"([\w.-]{1,64})\\{0,8}"\s{0,8}:\s{0,8}\\{0,8}"/gi
const IN_QUERY = /[^&;#\s"'<>\\]+/y
const IN_INNER_QUERY = /(?:(?!%(?:25){0,3}(?:26|3B|23))[^&;#\s"'<>\\])+/iy
const IN_JSON = /(?:[^"\\]|\\[^"\\])+/y

/** Finds the credentials in a text. */
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

/** Returns whether a value is a text that has a credential in a query or in JSON. */
export function hasSecretInText (value: unknown): boolean {
  return typeof value === 'string' && secretsIn(value).next().done !== true
}

/** Takes the credentials out of the queries and the JSON in a text: `https://a/?auth=…&id=5` becomes `https://a/?auth=&id=5`. */
export function redactText (text: string): string {
  let [left, end] = ['', 0]
  for (const [from, to] of secretsIn(text)) {
    left += text.slice(end, from)
    end = to
  }
  return left + text.slice(end)
}

/**
 * Copies a decoded body, or a part of it, without the credentials at any depth. The maps of the copy have no prototype.
 * What `T` says of a credential no longer holds.
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

/** A credential that was taken out of a tree, and where it stood. */
export type Secret = [path: string[], value: unknown]

type Tree = Record<string, unknown>

/**
 * Copies a decoded body, or a part of it, without its credentials at any depth, texts that carry one in a URL or in JSON among them, and lists
 * what was left out. The decoders let no prototype key in, so that the maps of the copy can be plain ones, which are quicker to make and to write.
 */
export function extractSecrets<T> (tree: T): { rest: T, secrets: Secret[] } {
  const secrets: Secret[] = []
  return { rest: copyWithout(tree, [], secrets) as T, secrets }
}

/** Puts secrets back to where they stood. */
export function restoreSecrets (tree: unknown, secrets: readonly Secret[]): void {
  for (const [path, value] of secrets) {
    const parent = path.slice(0, -1).reduce<unknown>((node, key) => (node as Tree)[key], tree)
    ;(parent as Tree)[path.at(-1) as string] = value
  }
}

/** `path` is that of `value`; it grows and shrinks on the way. */
function copyWithout (value: unknown, path: string[], secrets: Secret[]): unknown {
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
  const copied = copyWithout(value, path, secrets)
  path.pop()
  return copied
}

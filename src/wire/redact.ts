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

/** A parameter of a query: `?auth=…`, `&access_token=…`. */
const PARAMETER = /([?&;]([\w.-]{1,64})=)([^&;#\s"'<>\\]+)/g

/** Returns whether a value is a text that has a URL with a credential in its query. */
export function hasSecretInUrl (value: unknown): boolean {
  if (typeof value !== 'string' || !value.includes('=')) return false
  for (const [, , name] of value.matchAll(PARAMETER)) if (isSecret(name as string, '')) return true
  return false
}

/** Takes the credentials out of the queries in a text: `https://a/?auth=…&id=5` becomes `https://a/?auth=&id=5`. */
export function redactUrls (text: string): string {
  return text.includes('=') ? text.replace(PARAMETER, (whole, before: string, name: string) => isSecret(name, '') ? before : whole) : text
}

/**
 * Copies a decoded body, or a part of it, without the credentials at any depth. The maps of the copy have no prototype.
 * What `T` says of a credential no longer holds.
 */
export function redact<T> (tree: T): T {
  return copy(tree) as T
}

function copy (value: unknown): unknown {
  if (typeof value === 'string') return redactUrls(value)
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(copy)
  const map: Record<string, unknown> = Object.create(null)
  for (const [key, child] of Object.entries(value)) {
    if (!isSecret(key, child)) map[key] = copy(child)
  }
  return map
}

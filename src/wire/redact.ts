/**
 * Names, in lower case, under which Bitrix24 sends a credential: the fields of `auth`, of the tokens that bots and
 * ONAPPUSERREADY carry inside `data`, of page and placement posts, of robots, and `TOKEN` of ONAPPMETHODCONFIRM, which is
 * the access token that asked. `client_id` is no secret and stays.
 */
const SECRET_KEYS = new Set([
  'access_token',
  'refresh_token',
  'application_token',
  'client_secret',
  'event_token',
  'token',
  'auth_id',
  'refresh_id',
  'app_sid',
  'sessid'
])

/** Tells whether a value under this key is a credential, whatever the case of the key. */
export function isSecretKey (key: string): boolean {
  return SECRET_KEYS.has(key.toLowerCase())
}

/**
 * Copies a decoded body, or a part of it, without the secret keys at any depth. The maps of the copy have no prototype.
 * What `T` says of a secret key no longer holds.
 */
export function redact<T> (tree: T): T {
  return copy(tree) as T
}

function copy (value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(copy)
  const map: Record<string, unknown> = Object.create(null)
  for (const [key, child] of Object.entries(value)) {
    if (!isSecretKey(key)) map[key] = copy(child)
  }
  return map
}

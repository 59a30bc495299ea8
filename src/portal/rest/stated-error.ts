import { isObject } from '../../validation.ts'
import type { StatedError } from './call-error.ts'

const LONGEST_CODE = 100
const LONGEST_DESCRIPTION = 1_000
/** Characters of all further keys together, as JSON. */
const MOST_DETAILS = 8_192

/**
 * Reads the error out of the JSON object that a portal answered; `undefined` when it states none. Classic REST has `error` and
 * `error_description`, REST 3 has a map `error` of `code`, `message` and more. The code may be empty: that is the default of Bitrix24.
 *
 * @param accessToken is hidden where the portal quotes it
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/error-codes.md
 */
export function readStatedError (status: number, body: Record<string, unknown>, accessToken: string): StatedError | undefined {
  const { error, error_description: described, ...others } = body
  if (error === undefined && described === undefined) return undefined
  // Whoever writes a result with empty error fields beside it reports a success.
  if (status < 400 && 'result' in body && isBlank(error) && isBlank(described)) return undefined
  const { code, message, ...more } = isObject(error) ? error : { code: error }
  const redact = redactorOf(accessToken)
  return {
    status,
    code: redact(textOf(code)).slice(0, LONGEST_CODE),
    description: redact(textOf(message ?? described)).slice(0, LONGEST_DESCRIPTION),
    details: readDetails({ ...others, ...more }, redact)
  }
}

type Redact = (text: string) => string

function redactorOf (accessToken: string): Redact {
  return text => accessToken === '' ? text : text.replaceAll(accessToken, '***')
}

/** What is too large is left out, key by key. */
function readDetails (fields: Record<string, unknown>, redact: Redact): StatedError['details'] {
  const kept: Array<[string, unknown]> = []
  let left = MOST_DETAILS
  for (const [key, value] of Object.entries(fields)) {
    const entry: [string, unknown] = [redact(key), redactIn(value, redact)]
    const { length } = JSON.stringify(entry)
    if (length > left) continue
    left -= length
    kept.push(entry)
  }
  return kept.length === 0 ? undefined : Object.fromEntries(kept)
}

/** The depth of an answer is bounded before it is parsed. */
function redactIn (value: unknown, redact: Redact): unknown {
  if (typeof value === 'string') return redact(value)
  if (Array.isArray(value)) return value.map(item => redactIn(item, redact))
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [redact(key), redactIn(item, redact)]))
}

/** Never calls a method of the value: a key of its JSON may have that name. */
function textOf (value: unknown): string {
  if (typeof value === 'string') return value
  return value === undefined || value === null ? '' : JSON.stringify(value)
}

function isBlank (value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0
  return !value
}

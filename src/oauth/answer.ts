import { isObject } from '../validation.ts'
import { classifyError, type OAuthRefusal } from './error-class.ts'
import { type OAuthAnswer, unavailable } from './request.ts'

/**
 * The error in an answer, or `undefined` when it states none.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE when the error says nothing about the token
 */
export function readRefusal ({ status, body }: OAuthAnswer): OAuthRefusal | undefined {
  const stated = body['error']
  if (stated === undefined || stated === null) return undefined
  // The REST of portals states errors as objects too.
  const code = isObject(stated) ? stated['code'] : stated
  const error = typeof code === 'string' ? code.toLowerCase() : ''
  const errorClass = classifyError(error)
  if (errorClass === 'network') throw unavailable(`status ${status}, ${nameOf(error)}`)
  return { status: 'refused', errorClass, error }
}

/** An answer that states no error and yet is not what the documentation promises. */
export function nonsense ({ status }: OAuthAnswer, missing: string): Error {
  return unavailable(`status ${status}, no usable ${missing}`)
}

/** Reads text that must be there. */
export function textOf (value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Reads a scope, which comes as `crm,task`, `crm, task` or `crm task`. Older systems write `app`, which names no permission. */
export function scopeOf (value: unknown): string[] {
  return typeof value === 'string' ? value.split(/[\s,]+/).filter(name => name !== '' && name !== 'app') : []
}

const LONGEST_LIFE_S = 30 * 24 * 60 * 60

/** Reads `expires_in`, seconds, which comes as a number or as its digits; an hour where it is neither, or out of bounds. */
export function lifetimeMsOf (expiresIn: unknown): number {
  const seconds = typeof expiresIn === 'string' && /^\d{1,9}$/.test(expiresIn) ? Number(expiresIn) : expiresIn
  return typeof seconds === 'number' && seconds > 0 && seconds <= LONGEST_LIFE_S ? seconds * 1000 : 3_600_000
}

/** Reads the id of a user, which comes as a number or as its digits. */
export function userIdOf (value: unknown): number | undefined {
  const digits = typeof value === 'number' ? String(value) : value
  return typeof digits === 'string' && /^\d{1,15}$/.test(digits) ? Number(digits) : undefined
}

/** Reads the REST base of a portal: an http(s) URL that ends with `/rest/` and holds no more than that. */
export function endpointOf (value: unknown): URL | undefined {
  if (typeof value !== 'string' || !URL.canParse(value)) return undefined
  const url = new URL(value)
  const bare = `${url.protocol}//${url.host}${url.pathname}`
  return /^https?:\/\/.*\/rest\/$/.test(bare) && bare === url.href ? url : undefined
}

function nameOf (error: string): string {
  return /^[a-z_]{1,32}$/.test(error) ? error : 'an error of another form'
}

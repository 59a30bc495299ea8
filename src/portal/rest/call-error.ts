import type { FastifyError } from '@fastify/error'
import {
  FST_B24_PORTAL_CALL, FST_B24_PORTAL_GONE, FST_B24_PORTAL_LIMIT, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_UNAVAILABLE, FST_B24_REAUTH_REQUIRED, type PortalLimitDetails, type PortalErrorDetails
} from '../../errors.ts'
import { isObject } from '../../validation.ts'

/** A call that the portal answered with an error: FST_B24_PORTAL_CALL, FST_B24_REAUTH_REQUIRED, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_GONE. */
export interface PortalCallError extends FastifyError, PortalErrorDetails {}

/** FST_B24_PORTAL_LIMIT. */
export interface PortalLimitError extends FastifyError, PortalLimitDetails {}

/** An error as a portal states it. */
export interface PortalErrorFields {
  /** HTTP status of the answer; `undefined` where the SDK states the error. */
  status: number | undefined
  /** Empty where the portal gives none, as most methods of `crm.*` do. */
  code: string
  description: string
  /** Further keys of the error. */
  details?: Readonly<Record<string, unknown>> | undefined
}

/** Whoever reads a log in a terminal must not take a portal's words for lines of the app. */
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g
const MAX_NAMES = 20
const MAX_NAME_LENGTH = 50

/** `params` is what the method was called with: their names stand in the message, their values never do. */
export function callError (method: string, stated: PortalErrorFields, params?: object): PortalCallError {
  const words = [stated.code, stated.description].filter(word => word !== '').join(': ')
  return withWords(new FST_B24_PORTAL_CALL(method, `${words === '' ? 'an error without a code' : onOneLine(words)}${namesOf(params)}`), stated)
}

export function reauthError (memberId: string, stated: PortalErrorFields): PortalCallError {
  return withWords(new FST_B24_REAUTH_REQUIRED(memberId, `the portal answers ${stated.code}`), stated)
}

export function suspendedError (memberId: string, stated: PortalErrorFields): PortalCallError {
  return withWords(new FST_B24_PORTAL_SUSPENDED(memberId), stated)
}

export function goneError (stated: PortalErrorFields): PortalCallError {
  return withWords(new FST_B24_PORTAL_GONE(), stated)
}

export function unavailableError (reason: string): FastifyError {
  return new FST_B24_PORTAL_UNAVAILABLE(reason)
}

export function limitError (method: string, portalCode: string, retryAfterMs: number): PortalLimitError {
  return Object.assign(new FST_B24_PORTAL_LIMIT(method, portalCode), { portalCode, retryAfterMs })
}

/** The words of a portal as they may stand in a message. */
export function onOneLine (words: string): string {
  return words.replace(CONTROLS, ' ')
}

function withWords (error: FastifyError, { status, code, description, details }: PortalErrorFields): PortalCallError {
  return Object.assign(error, { portalCode: code, portalStatus: status, description, details })
}

function namesOf (params: object = {}): string {
  const names = Object.keys(params)
  if (names.length === 0) return ''
  const shown = names.slice(0, MAX_NAMES).map(name => name.slice(0, MAX_NAME_LENGTH))
  return ` (parameters: ${shown.join(', ')}${names.length > MAX_NAMES ? ', …' : ''})`
}

const MAX_CODE_LENGTH = 100
const MAX_DESCRIPTION_LENGTH = 1_000
/** Characters of all further keys together, as JSON. */
const MAX_DETAILS = 8_192

/**
 * Reads the error out of the JSON object that a portal answered; `undefined` when it states none. Classic REST has `error` and
 * `error_description`, REST 3 has a map `error` of `code`, `message` and more. The code may be empty: that is the default of Bitrix24.
 *
 * @param accessToken is hidden where the portal quotes it
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/error-codes.md
 */
export function parsePortalError (status: number, body: Record<string, unknown>, accessToken: string): PortalErrorFields | undefined {
  const { error, error_description: described, ...others } = body
  if (error === undefined && described === undefined) return undefined
  // Whoever writes a result with empty error fields beside it reports a success.
  if (status < 400 && 'result' in body && isBlank(error) && isBlank(described)) return undefined
  const { code, message, ...more } = isObject(error) ? error : { code: error }
  const redact = redactorOf(accessToken)
  return {
    status,
    code: redact(textOf(code)).slice(0, MAX_CODE_LENGTH),
    description: redact(textOf(message ?? described)).slice(0, MAX_DESCRIPTION_LENGTH),
    details: readDetails({ ...others, ...more }, redact)
  }
}

type Redact = (text: string) => string

function redactorOf (accessToken: string): Redact {
  return text => accessToken === '' ? text : text.replaceAll(accessToken, '***')
}

/** What is too large is left out, key by key. */
function readDetails (fields: Record<string, unknown>, redact: Redact): PortalErrorFields['details'] {
  const kept: Array<[string, unknown]> = []
  let left = MAX_DETAILS
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

/** Why a portal could not be worked on. */
export interface Reason {
  /** Bitrix24's own where it has one. */
  code: string
  message: string
}

export function reasonOf (error: unknown): Reason {
  const { portalCode = '', code = 'FST_B24_INTERNAL', message } = error as { portalCode?: string, code?: string, message?: string }
  // Bitrix24's default code is empty.
  return { code: portalCode === '' ? code : portalCode, message: String(message) }
}

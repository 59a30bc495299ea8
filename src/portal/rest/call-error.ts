import type { FastifyError } from '@fastify/error'
import {
  FST_B24_PORTAL_CALL, FST_B24_PORTAL_GONE, FST_B24_PORTAL_LIMIT, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_UNAVAILABLE, FST_B24_REAUTH_REQUIRED, type PortalLimitDetails, type PortalErrorDetails
} from '../../errors.ts'
import { isObject } from '../../validation.ts'

/** The portal returned an error: FST_B24_PORTAL_CALL, FST_B24_REAUTH_REQUIRED, FST_B24_PORTAL_SUSPENDED or FST_B24_PORTAL_GONE. */
export interface PortalCallError extends FastifyError, PortalErrorDetails {}

/** FST_B24_PORTAL_LIMIT. */
export interface PortalLimitError extends FastifyError, PortalLimitDetails {}

export interface PortalErrorFields {
  /** HTTP status of the response; `undefined` for an error of the SDK. */
  status: number | undefined
  /** Empty if the portal sends none, as for most errors of `crm.*`. */
  code: string
  description: string
  /** Other fields of the error. */
  details?: Readonly<Record<string, unknown>> | undefined
}

/** Control and bidi characters, with which a portal could forge log lines in a terminal. */
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g
const MAX_NAMES = 20
const MAX_NAME_LENGTH = 50

/** Parameter names appear in the message, values never do. */
export function callError (method: string, fields: PortalErrorFields, params?: object): PortalCallError {
  const words = [fields.code, fields.description].filter(word => word !== '').join(': ')
  return withFields(new FST_B24_PORTAL_CALL(method, `${words === '' ? 'error without a code' : onOneLine(words)}${parameterNames(params)}`), fields)
}

export function reauthError (memberId: string, fields: PortalErrorFields): PortalCallError {
  return withFields(new FST_B24_REAUTH_REQUIRED(memberId, `portal returned ${fields.code}`), fields)
}

export function suspendedError (memberId: string, fields: PortalErrorFields): PortalCallError {
  return withFields(new FST_B24_PORTAL_SUSPENDED(memberId), fields)
}

export function goneError (fields: PortalErrorFields): PortalCallError {
  return withFields(new FST_B24_PORTAL_GONE(), fields)
}

export function unavailableError (reason: string): FastifyError {
  return new FST_B24_PORTAL_UNAVAILABLE(reason)
}

export function limitError (method: string, portalCode: string, retryAfterMs: number): PortalLimitError {
  return Object.assign(new FST_B24_PORTAL_LIMIT(method, portalCode), { portalCode, retryAfterMs })
}

/** Replaces control characters. */
export function onOneLine (words: string): string {
  return words.replace(CONTROLS, ' ')
}

function withFields (error: FastifyError, { status, code, description, details }: PortalErrorFields): PortalCallError {
  return Object.assign(error, { portalCode: code, portalStatus: status, description, details })
}

function parameterNames (params: object = {}): string {
  const names = Object.keys(params)
  if (names.length === 0) return ''
  const shown = names.slice(0, MAX_NAMES).map(name => name.slice(0, MAX_NAME_LENGTH))
  return ` (parameters: ${shown.join(', ')}${names.length > MAX_NAMES ? ', …' : ''})`
}

const MAX_CODE_LENGTH = 100
const MAX_DESCRIPTION_LENGTH = 1_000
/** JSON length of all other fields together. */
const MAX_DETAILS = 8_192

/**
 * Parses the error of a response body; `undefined` if it has none. Classic REST has `error` and `error_description`, REST 3 an object `error`
 * with `code`, `message` and more. The code may be empty, Bitrix24's default.
 *
 * @param accessToken redacted where the portal quotes it
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/error-codes.md
 */
export function parsePortalError (status: number, body: Record<string, unknown>, accessToken: string): PortalErrorFields | undefined {
  const { error, error_description: errorDescription, ...others } = body
  if (error === undefined && errorDescription === undefined) return undefined
  // A result beside empty error fields is a success.
  if (status < 400 && 'result' in body && isBlank(error) && isBlank(errorDescription)) return undefined
  const { code, message, ...more } = isObject(error) ? error : { code: error }
  const redact = redactorOf(accessToken)
  return {
    status,
    code: redact(textOf(code)).slice(0, MAX_CODE_LENGTH),
    description: redact(textOf(message ?? errorDescription)).slice(0, MAX_DESCRIPTION_LENGTH),
    details: readDetails({ ...others, ...more }, redact)
  }
}

type Redact = (text: string) => string

function redactorOf (accessToken: string): Redact {
  return text => accessToken === '' ? text : text.replaceAll(accessToken, '***')
}

/** Skips fields that exceed the size limit. */
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

/** Recursion is safe: the depth was checked before parsing. */
function redactIn (value: unknown, redact: Redact): unknown {
  if (typeof value === 'string') return redact(value)
  if (Array.isArray(value)) return value.map(item => redactIn(item, redact))
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [redact(key), redactIn(item, redact)]))
}

/** Avoids `String(value)`: the JSON may contain a key `toString`. */
function textOf (value: unknown): string {
  if (typeof value === 'string') return value
  return value === undefined || value === null ? '' : JSON.stringify(value)
}

function isBlank (value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0
  return !value
}

/** Summary of an error, for reports. */
export interface Reason {
  /** Bitrix24's own code if there is one. */
  code: string
  message: string
}

export function reasonOf (error: unknown): Reason {
  const { portalCode = '', code = 'FST_B24_INTERNAL', message } = error as { portalCode?: string, code?: string, message?: string }
  // Bitrix24's default code is empty.
  return { code: portalCode === '' ? code : portalCode, message: String(message) }
}

import type { FastifyError } from '@fastify/error'
import {
  FST_B24_PORTAL_CALL, FST_B24_PORTAL_GONE, FST_B24_PORTAL_LIMIT, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_UNAVAILABLE,
  FST_B24_REAUTH_REQUIRED, type PortalPause, type PortalWords
} from '../../errors.ts'

/** A call that the portal answered with an error: FST_B24_PORTAL_CALL, FST_B24_REAUTH_REQUIRED, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_GONE. */
export interface PortalCallError extends FastifyError, PortalWords {}

/** FST_B24_PORTAL_LIMIT. */
export interface PortalLimitError extends FastifyError, PortalPause {}

/** An error as a portal states it. */
export interface StatedError {
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
const MOST_NAMES = 20
const LONGEST_NAME = 50

/** `params` is what the method was called with: their names stand in the message, their values never do. */
export function callError (method: string, stated: StatedError, params?: object): PortalCallError {
  const words = [stated.code, stated.description].filter(word => word !== '').join(': ')
  return withWords(new FST_B24_PORTAL_CALL(method, `${words === '' ? 'an error without a code' : onOneLine(words)}${namesOf(params)}`), stated)
}

export function reauthError (memberId: string, stated: StatedError): PortalCallError {
  return withWords(new FST_B24_REAUTH_REQUIRED(memberId, `the portal answers ${stated.code}`), stated)
}

export function suspendedError (memberId: string, stated: StatedError): PortalCallError {
  return withWords(new FST_B24_PORTAL_SUSPENDED(memberId), stated)
}

export function goneError (stated: StatedError): PortalCallError {
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

function withWords (error: FastifyError, { status, code, description, details }: StatedError): PortalCallError {
  return Object.assign(error, { portalCode: code, portalStatus: status, description, details })
}

function namesOf (params: object = {}): string {
  const names = Object.keys(params)
  if (names.length === 0) return ''
  const shown = names.slice(0, MOST_NAMES).map(name => name.slice(0, LONGEST_NAME))
  return ` (parameters: ${shown.join(', ')}${names.length > MOST_NAMES ? ', …' : ''})`
}

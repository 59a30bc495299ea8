import type { FastifyError } from '@fastify/error'
import {
  FST_B24_PORTAL_CALL, FST_B24_PORTAL_GONE, FST_B24_PORTAL_LIMIT, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_UNAVAILABLE,
  FST_B24_REAUTH_REQUIRED
} from '../errors.ts'

/** A call that the portal answered with an error: FST_B24_PORTAL_CALL, FST_B24_REAUTH_REQUIRED, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_GONE. */
export interface PortalCallError extends FastifyError {
  /** Bitrix24's own code, such as `ERROR_METHOD_NOT_FOUND`. */
  portalCode: string
  /** What Bitrix24 says beside it; in the portal's words and language. */
  description: string
}

/** FST_B24_PORTAL_LIMIT. */
export interface PortalLimitError extends FastifyError {
  /** Bitrix24's own code: `QUERY_LIMIT_EXCEEDED` or `OPERATION_TIME_LIMIT`; or what stands for it where no call was made. */
  portalCode: string
  /** Time after which the portal may take the call, ms. */
  retryAfterMs: number
}

/** An error as a portal states it. */
export interface StatedError {
  status: number
  code: string
  description: string
}

export function callError (method: string, stated: StatedError): PortalCallError {
  const error = told(new FST_B24_PORTAL_CALL(method, stated.code), stated)
  if (stated.status >= 400) error.statusCode = stated.status
  return error
}

export function reauthError (memberId: string, stated: StatedError): PortalCallError {
  return told(new FST_B24_REAUTH_REQUIRED(memberId, `the portal answers ${stated.code}`), stated)
}

export function suspendedError (memberId: string, stated: StatedError): PortalCallError {
  return told(new FST_B24_PORTAL_SUSPENDED(memberId), stated)
}

export function goneError (stated: StatedError): PortalCallError {
  return told(new FST_B24_PORTAL_GONE(), stated)
}

export function unavailableError (reason: string): FastifyError {
  return new FST_B24_PORTAL_UNAVAILABLE(reason)
}

export function limitError (method: string, portalCode: string, retryAfterMs: number): PortalLimitError {
  return Object.assign(new FST_B24_PORTAL_LIMIT(method, portalCode), { portalCode, retryAfterMs })
}

function told (error: FastifyError, { code, description }: StatedError): PortalCallError {
  return Object.assign(error, { portalCode: code, description })
}

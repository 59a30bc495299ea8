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
  /** `undefined` where the SDK states it. */
  status: number | undefined
  code: string
  description: string
}

export function callError (method: string, stated: StatedError): PortalCallError {
  return told(new FST_B24_PORTAL_CALL(method, stated.code), stated)
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

function told (error: FastifyError, { status, code, description }: StatedError): PortalCallError {
  return Object.assign(error, { portalCode: code, portalStatus: status, description })
}

import { isObject } from '../../validation.ts'
import { valueAt } from './batch.ts'
import { unavailableError } from './call-error.ts'
import { type AnsweredCall, classify, errorOf, itemError, type PortalResponse } from './classify-response.ts'
import { SMALL_BYTES } from './read-response.ts'
import { redirectTarget } from './redirects.ts'
import { type RestTransport, withCallTimeout } from './rest-transport.ts'

/** A user who opened the app on a portal. */
export interface PageUser {
  isAdmin: boolean
  /** `false` until the install page has called `installFinish`; `undefined` if the portal does not say. */
  isInstalled: boolean | undefined
}

/** Portal and token to use. The address must come from an OAuth server. */
export interface PageUserRequest {
  memberId: string
  domain: string
  /** REST base of the portal, ends with `/rest/`. */
  clientEndpoint: string
  accessToken: string
  signal: AbortSignal
}

export type FetchPageUser = (request: PageUserRequest) => Promise<PageUser>

export interface PageUserParts {
  transport: RestTransport
  /** @default 5000 */
  timeoutMs?: number | undefined
}

const COMMANDS = { profile: 'profile', info: 'app.info' }
const PATH = 'batch'

/**
 * Creates the function that fetches the user who opened the app, in one batch call. Bypasses `PortalCalls`, because the token is not stored yet.
 *
 * The function rejects with FST_B24_PORTAL_UNAVAILABLE, FST_B24_PORTAL_LIMIT, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_CALL and the like, or
 * with the signal's reason.
 */
export function createPageUserFetcher ({ transport, timeoutMs = 5_000 }: PageUserParts): FetchPageUser {
  return async (request) => {
    const { signal } = request
    const call = { ...request, method: COMMANDS.profile }
    const body = await withCallTimeout({ timeoutMs, signal }, async within => await post(transport, call, within))
    return parsePageUser(body, call)
  }
}

/** Follows one redirect, for a portal that has switched to https. */
async function post (transport: RestTransport, call: PageUserRequest & AnsweredCall, signal: AbortSignal, isFollowed = false): Promise<unknown> {
  const { memberId, method, clientEndpoint, accessToken } = call
  const params = { cmd: COMMANDS, halt: 0 }
  const response: PortalResponse = await transport.post({ memberId, method, url: clientEndpoint + PATH, params, accessToken, signal, maxBytes: SMALL_BYTES })
  const classified = classify(response, call)
  if (classified.type === 'result') return response.body
  const target = classified.type === 'redirect' && !isFollowed ? redirectTarget({ clientEndpoint, path: PATH }, classified.location) : undefined
  if (target === undefined) throw errorOf(classified, method)
  return await post(transport, { ...call, clientEndpoint: target }, signal, true)
}

function parsePageUser (body: unknown, call: AnsweredCall): PageUser {
  const batch = valueAt(body, 'result')
  const results = valueAt(batch, 'result')
  const profile = valueAt(results, 'profile')
  if (isObject(profile)) {
    const installed = valueAt(valueAt(results, 'info'), 'INSTALLED')
    return { isAdmin: profile['ADMIN'] === true, isInstalled: typeof installed === 'boolean' ? installed : undefined }
  }
  const refused = valueAt(valueAt(batch, 'result_error'), 'profile')
  throw refused === undefined ? unavailableError('no profile') : itemError(refused, call)
}

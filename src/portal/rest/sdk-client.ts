import type { B24OAuth, B24OAuthParams, CustomRefreshAuth } from '@bitrix24/b24jssdk'
import { onOneLine } from './call-error.ts'
import { CALL_TIMEOUT_MS } from './call-options.ts'
import type { PortalCalls } from './portal-calls.ts'
import { type AjaxConfig, loadSdk, type OfficialClient, type Sdk, UNRESTRICTED } from './sdk.ts'
import type { PortalAccess } from '../tokens/portal-access.ts'
import type { Tokens } from '../tokens/tokens.ts'
import { isObject } from '../../validation.ts'

interface SdkClientParts {
  sdk: Sdk
  calls: Pick<PortalCalls, 'make'>
  tokens: Pick<Tokens, 'access' | 'renew'>
}

/** Stands for secrets that the SDK does not need: it never refreshes a token itself. */
const KEPT = 'kept by fastify-bitrix24'

/**
 * A client of the SDK for one portal. Whatever it requests, through whichever of its doors, goes to the portal with the token
 * that is kept at that moment, within the limits of the portal.
 */
class SdkClient {
  readonly b24: B24OAuth
  readonly #parts: SdkClientParts
  readonly #origin: string
  #bound: PortalAccess
  #next: PortalAccess | undefined

  constructor (access: PortalAccess, parts: SdkClientParts) {
    const { sdk } = parts
    this.#parts = parts
    this.#bound = access
    this.#origin = access.clientEndpoint
    const secrets = { clientId: KEPT, clientSecret: KEPT }
    this.b24 = new sdk.B24OAuth(paramsOf(access), secrets, { restrictionParams: UNRESTRICTED })
    this.b24.offClientSideWarning()
    this.b24.setCustomRefreshAuth(() => this.#refresh())
    this.#address()
    for (const [version, folder] of [[sdk.ApiVersion.v2, ''], [sdk.ApiVersion.v3, 'api/']] as const) {
      const { defaults } = this.b24.getHttpClient(version).ajaxClient
      defaults.timeout = CALL_TIMEOUT_MS
      defaults.transformRequest = [params => params]
      defaults.transformResponse = [body => body]
      defaults.adapter = async config => await this.#answer(config, folder)
    }
  }

  /** Whether the SDK would first ask for a token. */
  get isStale (): boolean {
    return secondsOf(this.#bound) * 1000 <= Date.now()
  }

  /** Whether the portal has moved, which the SDK cannot be told of in all its parts. */
  get isOutdated (): boolean {
    return this.#bound.clientEndpoint !== this.#origin
  }

  /** Tells the SDK the token that is kept now; nothing is refreshed. */
  async bind (access: PortalAccess): Promise<void> {
    const isSame = (['accessToken', 'expiresAt', 'clientEndpoint'] as const).every(name => access[name] === this.#bound[name])
    if (isSame) return
    this.#next = access
    await this.b24.auth.refreshAuth()
  }

  // Up to the first await it runs at once, so that it takes what `bind` has just put there.
  async #refresh (): ReturnType<CustomRefreshAuth> {
    const next = this.#next
    this.#next = undefined
    const { memberId } = this.#bound
    this.#bound = next ?? await (this.isStale ? this.#parts.tokens.access(memberId) : this.#parts.tokens.renew(this.#bound))
    this.#address()
    return authOf(this.#bound)
  }

  /** The SDK would keep the address that it was made with, and puts two slashes behind it. */
  #address (): void {
    const { ApiVersion } = this.#parts.sdk
    const { clientEndpoint } = this.#bound
    const bases = this.b24.getTargetOriginWithPath()
    bases.set(ApiVersion.v2, clientEndpoint.replace(/\/$/, ''))
    bases.set(ApiVersion.v3, `${clientEndpoint}api`)
  }

  /** Does the work of axios' adapter. */
  async #answer (config: AjaxConfig, folder: string) {
    const { auth: _, ...params } = config.data as Record<string, unknown>
    const { method, query } = targetOf(config.url as string)
    try {
      const { answer, access: used } = await this.#parts.calls.make({
        memberId: this.#bound.memberId,
        method: decodeURIComponent(method),
        path: `${folder}${method}${query}`,
        params,
        timeoutMs: config.timeout as number,
        signal: config.signal as AbortSignal | undefined
      })
      await this.bind(used)
      return { status: answer.status, statusText: '', headers: {}, config, data: timed(answer.body) }
    } catch (error) {
      throw this.#sdkError(error, decodeURIComponent(method))
    }
  }

  /** The error as users of the SDK know it. */
  #sdkError (failure: unknown, method: string): Error {
    const { message, code, portalCode = code, description = message, statusCode = 0, portalStatus = statusCode, details } = failure as {
      message?: string, code?: string, portalCode?: string, description?: string, statusCode?: number, portalStatus?: number, details?: Record<string, unknown>
    }
    return new this.#parts.sdk.AjaxError({
      code: onOneLine(portalCode ?? 'JSSDK_UNKNOWN_ERROR'),
      description: onOneLine(description ?? 'Broken off'),
      status: portalStatus,
      requestInfo: { method },
      ...validationIn(details),
      originalError: failure
    })
  }
}

/** What REST 3 says of single fields. */
function validationIn (details: Record<string, unknown> | undefined): { validation?: Array<{ message: string, field: string }> } {
  const validation = details?.['validation']
  if (!Array.isArray(validation)) return {}
  return { validation: validation.filter(isObject).map(({ message, field }) => ({ message: textIn(message), field: textIn(field) })) }
}

function textIn (value: unknown): string {
  return typeof value === 'string' ? onOneLine(value) : ''
}

/** The method at the end of a URL of the SDK, which escapes slashes in all that follows, and the query with its `?`. */
function targetOf (url: string): { method: string, query: string } {
  const [method = '', query] = url.slice(url.lastIndexOf('/') + 1).split('?')
  return { method, query: query === undefined ? '' : `?${query}` }
}

/** The SDK takes an answer that does not tell its `time` for none; not all that stands in for a portal tells it. */
function timed (body: unknown): unknown {
  return isObject(body) && 'result' in body && !('time' in body) ? { ...body, time: {} } : body
}

/** End of a token as the SDK counts it. */
function secondsOf ({ expiresAt }: PortalAccess): number {
  return Math.floor(expiresAt / 1000)
}

function paramsOf (access: PortalAccess): B24OAuthParams {
  const { memberId, domain, clientEndpoint, oauthServer, accessToken, userId = 0 } = access
  return {
    applicationToken: KEPT,
    refreshToken: KEPT,
    memberId,
    domain,
    clientEndpoint,
    serverEndpoint: `${oauthServer}/rest/`,
    accessToken,
    expires: secondsOf(access),
    expiresIn: 3600,
    userId,
    scope: '',
    status: 'F' as B24OAuthParams['status'],
    issuer: 'store'
  }
}

function authOf (access: PortalAccess): Awaited<ReturnType<CustomRefreshAuth>> {
  const { memberId, domain, clientEndpoint, oauthServer, accessToken } = access
  return {
    access_token: accessToken,
    refresh_token: KEPT,
    expires: String(secondsOf(access)),
    expires_in: '3600',
    client_endpoint: clientEndpoint,
    server_endpoint: `${oauthServer}/rest/`,
    member_id: memberId,
    domain,
    scope: '',
    status: 'F'
  }
}

/** The official clients of portals, of which those are kept that were asked for last. */
export class SdkClients {
  readonly #parts: Omit<SdkClientParts, 'sdk'>
  readonly #most: number
  /** The one that was asked for last is the last. */
  readonly #clients = new Map<string, SdkClient>()

  constructor (parts: Omit<SdkClientParts, 'sdk'>, most: number) {
    this.#parts = parts
    this.#most = most
  }

  /** @throws FST_B24_SDK_MISSING, and as `Tokens.access` */
  async client (memberId: string): Promise<OfficialClient> {
    const sdk = await loadSdk()
    const access = await this.#parts.tokens.access(memberId)
    const known = this.#clients.get(memberId)
    await known?.bind(access)
    const client = known === undefined || known.isOutdated ? new SdkClient(access, { ...this.#parts, sdk }) : known
    this.#keep(memberId, client)
    return client.b24
  }

  #keep (memberId: string, client: SdkClient): void {
    this.#clients.delete(memberId)
    this.#clients.set(memberId, client)
    const [oldest] = this.#clients.keys()
    if (this.#clients.size > this.#most) this.#clients.delete(oldest as string)
  }
}

import type { B24OAuth, B24OAuthParams, CustomRefreshAuth } from '@bitrix24/b24jssdk'
import { onOneLine } from './call-error.ts'
import { CALL_TIMEOUT_MS } from './call-arguments.ts'
import type { PortalCalls } from './portal-calls.ts'
import { type AjaxConfig, loadSdk, type Sdk, UNRESTRICTED } from './sdk.ts'
import type { OfficialClient } from './official-client.ts'
import type { PortalAccess } from '../tokens/access-state.ts'
import type { Tokens } from '../tokens/tokens.ts'
import { isObject } from '../../validation.ts'

interface SdkClientParts {
  sdk: Sdk
  calls: Pick<PortalCalls, 'make'>
  tokens: Pick<Tokens, 'access' | 'renew'>
}

/** Placeholder for secrets: the SDK never refreshes a token itself. */
const PLACEHOLDER = 'held by fastify-bitrix24'

/**
 * SDK client of one portal. Sends all its requests through `PortalCalls`, with the token stored at that moment and within the rate limits.
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
    const secrets = { clientId: PLACEHOLDER, clientSecret: PLACEHOLDER }
    this.b24 = new sdk.B24OAuth(paramsOf(access), secrets, { restrictionParams: UNRESTRICTED })
    this.b24.offClientSideWarning()
    this.b24.setCustomRefreshAuth(() => this.#refresh())
    this.#setAddress()
    for (const [version, folder] of [[sdk.ApiVersion.v2, ''], [sdk.ApiVersion.v3, 'api/']] as const) {
      const { defaults } = this.b24.getHttpClient(version).ajaxClient
      defaults.timeout = CALL_TIMEOUT_MS
      defaults.transformRequest = [params => params]
      defaults.transformResponse = [body => body]
      defaults.adapter = async config => await this.#send(config, folder)
    }
  }

  /** Whether the SDK would request a new token first. */
  get isStale (): boolean {
    return secondsOf(this.#bound) * 1000 <= Date.now()
  }

  /** Whether the portal has moved: the SDK cannot change its address everywhere. */
  get isOutdated (): boolean {
    return this.#bound.clientEndpoint !== this.#origin
  }

  /** Passes the stored token to the SDK, without a refresh. */
  async bind (access: PortalAccess): Promise<void> {
    const isSame = (['accessToken', 'expiresAt', 'clientEndpoint'] as const).every(name => access[name] === this.#bound[name])
    if (isSame) return
    this.#next = access
    await this.b24.auth.refreshAuth()
  }

  // Synchronous up to the first await, so it takes the token that `bind` has just set.
  async #refresh (): ReturnType<CustomRefreshAuth> {
    const next = this.#next
    this.#next = undefined
    const { memberId } = this.#bound
    this.#bound = next ?? await (this.isStale ? this.#parts.tokens.access(memberId) : this.#parts.tokens.renew(this.#bound))
    this.#setAddress()
    return authOf(this.#bound)
  }

  /** Updates the base URLs: the SDK would keep the initial address, with two slashes after it. */
  #setAddress (): void {
    const { ApiVersion } = this.#parts.sdk
    const { clientEndpoint } = this.#bound
    const bases = this.b24.getTargetOriginWithPath()
    bases.set(ApiVersion.v2, clientEndpoint.replace(/\/$/, ''))
    bases.set(ApiVersion.v3, `${clientEndpoint}api`)
  }

  /** The axios adapter. */
  async #send (config: AjaxConfig, folder: string) {
    const { auth: _, ...params } = config.data as Record<string, unknown>
    const { method, query } = targetOf(config.url as string)
    try {
      const { response, access: used } = await this.#parts.calls.make({
        memberId: this.#bound.memberId,
        method: decodeURIComponent(method),
        path: `${folder}${method}${query}`,
        params,
        timeoutMs: config.timeout as number,
        signal: config.signal as AbortSignal | undefined
      })
      await this.bind(used)
      return { status: response.status, statusText: '', headers: {}, config, data: withTime(response.body) }
    } catch (error) {
      throw this.#sdkError(error, decodeURIComponent(method))
    }
  }

  /** Converts an error to the SDK's type. */
  #sdkError (failure: unknown, method: string): Error {
    const { message, code, portalCode = code, description = message, statusCode = 0, portalStatus = statusCode, details } = failure as {
      message?: string, code?: string, portalCode?: string, description?: string, statusCode?: number, portalStatus?: number, details?: Record<string, unknown>
    }
    return new this.#parts.sdk.AjaxError({
      code: onOneLine(portalCode ?? 'JSSDK_UNKNOWN_ERROR'),
      description: onOneLine(description ?? 'Aborted'),
      status: portalStatus,
      requestInfo: { method },
      ...fieldErrorsOf(details),
      originalError: failure
    })
  }
}

/** Field errors of REST 3. */
function fieldErrorsOf (details: Record<string, unknown> | undefined): { validation?: Array<{ message: string, field: string }> } {
  const validation = details?.['validation']
  if (!Array.isArray(validation)) return {}
  return { validation: validation.filter(isObject).map(({ message, field }) => ({ message: textIn(message), field: textIn(field) })) }
}

function textIn (value: unknown): string {
  return typeof value === 'string' ? onOneLine(value) : ''
}

/** Splits a URL of the SDK, which escapes slashes after the base, into the method and the query with its `?`. */
function targetOf (url: string): { method: string, query: string } {
  const [method = '', query] = url.slice(url.lastIndexOf('/') + 1).split('?')
  return { method, query: query === undefined ? '' : `?${query}` }
}

/** The SDK rejects responses without `time`, which some portal emulators omit. */
function withTime (body: unknown): unknown {
  return isObject(body) && 'result' in body && !('time' in body) ? { ...body, time: {} } : body
}

/** Token expiry in seconds, as the SDK expects it. */
function secondsOf ({ expiresAt }: PortalAccess): number {
  return Math.floor(expiresAt / 1000)
}

function paramsOf (access: PortalAccess): B24OAuthParams {
  const { memberId, domain, clientEndpoint, oauthServer, accessToken, userId = 0 } = access
  return {
    applicationToken: PLACEHOLDER,
    refreshToken: PLACEHOLDER,
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
    refresh_token: PLACEHOLDER,
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

/** LRU cache of SDK clients by portal. */
export class SdkClients {
  readonly #parts: Omit<SdkClientParts, 'sdk'>
  readonly #maxClients: number
  /** In order of last use. */
  readonly #clients = new Map<string, SdkClient>()

  constructor (parts: Omit<SdkClientParts, 'sdk'>, maxClients: number) {
    this.#parts = parts
    this.#maxClients = maxClients
  }

  /** @throws FST_B24_SDK_MISSING, and as `Tokens.access` */
  async client (memberId: string): Promise<OfficialClient> {
    const sdk = await loadSdk()
    const access = await this.#parts.tokens.access(memberId)
    const known = this.#clients.get(memberId)
    await known?.bind(access)
    const client = known === undefined || known.isOutdated ? new SdkClient(access, { ...this.#parts, sdk }) : known
    this.#cache(memberId, client)
    return client.b24
  }

  #cache (memberId: string, client: SdkClient): void {
    this.#clients.delete(memberId)
    this.#clients.set(memberId, client)
    const [oldest] = this.#clients.keys()
    if (this.#clients.size > this.#maxClients) this.#clients.delete(oldest as string)
  }
}

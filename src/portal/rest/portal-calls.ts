import { FST_B24_INTERNAL } from '../../errors.ts'
import { isObject } from '../../validation.ts'
import { pause, unlessAborted } from '../../async/abort.ts'
import type { PortalLimits } from '../../storage/call-rate-limits.ts'
import type { PortalAccess } from '../tokens/access-state.ts'
import type { Tokens } from '../tokens/tokens.ts'
import { limitError } from './call-error.ts'
import { classify, type PortalResponse, type Recovery } from './classify-response.ts'
import { resolveRedirect } from './redirects.ts'
import { OperatingResets, PortalBlocks } from './observed-limits.ts'
import { SMALL_BYTES } from './read-response.ts'
import { type RestTransport, withCallTimeout } from './rest-transport.ts'

export interface PortalCall {
  memberId: string
  method: string
  /** Method and query, relative to the REST base of the portal. */
  path: string
  /** Parameters without the token. */
  params: object
  /** Deadline for the whole call including waits and retries, in milliseconds. */
  timeoutMs: number
  signal?: AbortSignal | undefined
  /** Additional request headers, keyed by lower-case name. */
  headers?: Readonly<Record<string, string>> | undefined
  /** Maximum response size in bytes after decompression, up to 8 MB. @default 1048576; 65536 for methods with short responses */
  maxBytes?: number | undefined
  /** Extracts an error that affects the whole call from a successful response, as in a batch. */
  batchError?: ((body: unknown) => object | undefined) | undefined
}

/** Prerequisites of a call, being read from the store. */
interface CallStart {
  access: Promise<PortalAccess>
  /** How long to wait for the reserved slot, in milliseconds. */
  waitMs: Promise<number>
  /** When to stop waiting, on the clock of `performance.now()`. */
  waitEnd: number
}

export type CallTokens = Pick<Tokens, 'access' | 'renew' | 'replace' | 'other' | 'suspend' | 'resume' | 'locate' | 'move'>

export interface PortalCallsParts {
  tokens: CallTokens
  limits: PortalLimits
  transport: RestTransport
  /** How long a call may wait for the portal's rate limits, in milliseconds. @default 5000 */
  maxWaitMs?: number | undefined
  blocks?: PortalBlocks | undefined
}

export interface Answered {
  response: PortalResponse
  /** Token and address that succeeded. */
  access: PortalAccess
}

/** Delays before retries of a read, in milliseconds. */
const READ_RETRIES_MS = [200, 600]
/** Excludes `event.offline.get` and the like, which delete what they return. */
const READS = /(?<!\.offline|\.event)\.(get|list|getlist|fields|count)$|^(app\.info|profile|scope|methods|events|server\.time)$/
const SHORT_ANSWERS = /^(app\.info|profile|scope|server\.time|event\.(get|bind|unbind))$/
const MAX_WAITS = 5
const MAX_REDIRECTS = 2
const RETRY_AFTER_MS = 1_000
/** How long a method is paused when its operating time is used up and no reset time is known: Bitrix24 accounts by the minute. */
const METHOD_PAUSE_MS = 60_000

/** Codes that Bitrix24 would have returned. */
const LIMIT_CODES = { bucket: 'QUERY_LIMIT_EXCEEDED', method: 'OPERATION_TIME_LIMIT' }

/** Progress of one call: current token and recoveries tried with it. */
interface CallState {
  call: PortalCall & { signal: AbortSignal }
  access: PortalAccess
  waitEnd: number
  tried: Array<Recovery['type']>
}

/** Calls portals with a valid token and within the rate limits, and retries where that is safe. */
export class PortalCalls {
  readonly #parts: PortalCallsParts
  readonly #maxWaitMs: number
  readonly #resets = new OperatingResets()
  readonly #blocks: PortalBlocks

  constructor (parts: PortalCallsParts) {
    this.#parts = parts
    this.#maxWaitMs = parts.maxWaitMs ?? 5_000
    this.#blocks = parts.blocks ?? new PortalBlocks()
  }

  /**
   * Resolves with the response of a successful call. Rejects with the signal's reason when it aborts.
   *
   * @throws FST_B24_PORTAL_CALL, FST_B24_PORTAL_LIMIT, FST_B24_PORTAL_UNAVAILABLE, FST_B24_PRIVATE_ADDRESS, FST_B24_INSECURE_ADDRESS,
   * FST_B24_ANSWER_TOO_LARGE, FST_B24_INVALID_CALL, and as `Tokens.access`
   */
  async make (call: PortalCall): Promise<Answered> {
    const { memberId, method, timeoutMs, signal } = call
    const start = this.#begin(memberId, method)
    try {
      return await withCallTimeout({ timeoutMs, signal }, async within => await this.#make({ ...call, signal: within }, start))
    } catch (error) {
      signal?.throwIfAborted()
      throw withCode(error)
    }
  }

  /** Reads the token and reserves a slot concurrently; `#make` awaits both. */
  #begin (memberId: string, method: string): CallStart {
    const maxMs = this.#maxWaitMs
    const start: CallStart = {
      access: this.#parts.tokens.access(memberId),
      waitMs: this.#reserve({ memberId, method }, maxMs),
      waitEnd: performance.now() + maxMs
    }
    for (const read of [start.access, start.waitMs]) read.catch(() => {})
    return start
  }

  async #make (call: CallState['call'], start: CallStart): Promise<Answered> {
    const { memberId, method, signal } = call
    const blocked = this.#blocks.errorFor(memberId, method)
    if (blocked !== undefined) throw blocked
    const [access, waitMs] = await unlessAborted(Promise.all([start.access, start.waitMs]), signal)
    await pause(waitMs, signal)
    const state: CallState = { call, access, waitEnd: start.waitEnd, tried: [] }
    for (;;) {
      const response = await this.#post(state)
      const error = call.batchError?.(response.body)
      const { access } = state
      const { memberId, domain, accessToken } = access
      const classified = classify(error === undefined ? response : { ...response, body: error }, { memberId, domain, accessToken, method, params: call.params })
      if (classified.type === 'result') return this.#succeeded(response, state)
      await this.#recover(classified, state)
      await pause(await unlessAborted(this.#reserve(call, state.waitEnd - performance.now()), signal), signal)
    }
  }

  async #post ({ call, access }: CallState): Promise<PortalResponse> {
    const { memberId, method, path, params, signal, headers, maxBytes } = call
    return await this.#parts.transport.post({
      memberId,
      method,
      url: access.clientEndpoint + path,
      params,
      accessToken: access.accessToken,
      signal,
      headers,
      maxBytes: maxBytes ?? (SHORT_ANSWERS.test(method.toLowerCase()) ? SMALL_BYTES : undefined)
    })
  }

  #succeeded (response: PortalResponse, { access, call: { memberId, method } }: CallState): Answered {
    if (access.isSuspended) this.#parts.tokens.resume(access)
    if (isObject(response.body)) this.#resets.record(memberId, method, response.body['time'])
    this.#blocks.clear(memberId, method)
    return { response, access }
  }

  /** Prepares a retry, or throws. */
  async #recover (recovery: Recovery, state: CallState): Promise<void> {
    const { tokens } = this.#parts
    const { call: { memberId, method, signal }, access, tried } = state
    const before = tried.filter(type => type === recovery.type).length
    tried.push(recovery.type)
    switch (recovery.type) {
      case 'limit': return await this.#wait(recovery, state, before)
      case 'blocked': {
        const { code: reason, scope, waitMs: retryAfterMs } = recovery
        this.#blocks.add(scope, { memberId, reason, method, retryAfterMs })
        throw limitError(method, reason, retryAfterMs)
      }
      case 'renew': {
        if (before === 0) state.access = await unlessAborted(tokens.renew(access), signal)
        else if (recovery.last !== undefined) await this.#recover(recovery.last, state)
        else throw recovery.error
        return
      }
      case 'replace': {
        const next = await unlessAborted(tokens.replace(access, recovery.error.portalCode), signal)
        if (next === undefined) throw recovery.error
        state.access = next
        state.tried = []
        return
      }
      case 'otherUser': {
        const other = before === 0 ? await unlessAborted(tokens.other(access).catch(() => undefined), signal) : undefined
        if (other === undefined) throw recovery.error
        state.access = other
        return
      }
      case 'suspended': {
        await unlessAborted(tokens.suspend(access, { reason: recovery.reason, error: recovery.error.portalCode }), signal)
        throw recovery.error
      }
      case 'redirect': {
        if (before >= MAX_REDIRECTS) throw recovery.error
        state.access = await unlessAborted(resolveRedirect(tokens, recovery, access, state.call.path), signal)
        return
      }
      case 'unusable': {
        const ms = recovery.isTransient && READS.test(method.toLowerCase()) ? READ_RETRIES_MS[before] : undefined
        if (ms === undefined) throw recovery.error
        return await pause(ms * (0.5 + Math.random()), signal)
      }
      case 'error': throw recovery.error
    }
  }

  async #wait ({ code, scope, waitMs }: Recovery & { type: 'limit' }, { call: { memberId, method, signal } }: CallState, before: number): Promise<void> {
    const { limits } = this.#parts
    const closedMs = scope === 'portal' ? undefined : waitMs ?? this.#resets.waitMs(memberId, method) ?? METHOD_PAUSE_MS
    await unlessAborted(closedMs === undefined ? limits.fill(memberId) : limits.close(memberId, method.toLowerCase(), closedMs), signal)
    if (before >= MAX_WAITS) throw limitError(method, code, closedMs ?? RETRY_AFTER_MS)
  }

  /** Reserves a rate-limit slot. @returns how long to wait for it, in milliseconds */
  async #reserve ({ memberId, method }: Pick<PortalCall, 'memberId' | 'method'>, maxMs: number): Promise<number> {
    const reservation = await this.#parts.limits.reserve(memberId, method.toLowerCase(), Math.max(0, Math.floor(maxMs)))
    if (reservation.status === 'reserved') return reservation.waitMs
    throw limitError(method, LIMIT_CODES[reservation.full], reservation.retryAfterMs)
  }
}

/** Wraps unexpected errors, which are bugs of the plugin. */
function withCode (error: unknown): unknown {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' && code.startsWith('FST_B24_') ? error : new FST_B24_INTERNAL({ cause: error })
}

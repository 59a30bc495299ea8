import { FST_B24_INTERNAL } from '../../errors.ts'
import { isObject } from '../../validation.ts'
import { pause, unlessAborted } from '../../async/abort.ts'
import type { PortalLimits } from '../../storage/limits.ts'
import type { PortalAccess } from '../tokens/portal-access.ts'
import type { Tokens } from '../tokens/tokens.ts'
import { limitError } from './call-error.ts'
import { classify, type PortalResponse, type Recovery } from './classify-response.ts'
import { resolveRedirect } from './redirects.ts'
import { OperatingResets, PortalBlocks } from './observed-limits.ts'
import { SMALL_BYTES } from './read-response.ts'
import { type RestTransport, withCallTimeout } from './rest-transport.ts'

/** One call of a method, by whoever it is made. */
export interface PortalCall {
  memberId: string
  method: string
  /** Method and query, behind the REST base of the portal. */
  path: string
  /** What the method is given, without a token. */
  params: object
  /** Longest that it may take as a whole, ms: waits and further attempts too. */
  timeoutMs: number
  signal?: AbortSignal | undefined
  /** More headers of the request, by their names in small letters. */
  headers?: Readonly<Record<string, string>> | undefined
  /** Largest answer in bytes, unpacked; 8 MB at most. @default 1048576, and 65536 for methods whose answers are short */
  maxBytes?: number | undefined
  /** Finds the error that a call failed with as a whole in an answer whose status is that of a success, as a batch's. */
  batchError?: ((body: unknown) => object | undefined) | undefined
}

/** What a call needs before it is made, on its way from the store. */
interface CallStart {
  access: Promise<PortalAccess>
  /** How long to wait for the place that is reserved, ms. */
  waitMs: Promise<number>
  /** When to wait no more, on the clock of `performance.now()`. */
  waitEnd: number
}

/** What calls need of the tokens. */
export type CallTokens = Pick<Tokens, 'access' | 'renew' | 'replace' | 'other' | 'suspend' | 'resume' | 'locate' | 'move'>

export interface PortalCallsParts {
  tokens: CallTokens
  limits: PortalLimits
  transport: RestTransport
  /** Longest that a call waits for its portal's limits, ms. @default 5000 */
  mostWaitMs?: number | undefined
  blocks?: PortalBlocks | undefined
}

export interface Answered {
  answer: PortalResponse
  /** What the portal took. */
  access: PortalAccess
}

/** Pauses before a call that only reads is made again, ms. */
const REPEATS_MS = [200, 600]
/** Not `event.offline.get` and the like, which take away what they read. */
const READS = /(?<!\.offline|\.event)\.(get|list|getlist|fields|count)$|^(app\.info|profile|scope|methods|events|server\.time)$/
const SHORT_ANSWERS = /^(app\.info|profile|scope|server\.time|event\.(get|bind|unbind))$/
/** Where waiting does not help, calls are only made worse by more of them. */
const MAX_WAITS = 5
const MAX_REDIRECTS = 2
const NEXT_TRY_MS = 1_000
/** How long a method is closed whose time is used up where nothing says it, ms: Bitrix24 adds it up by the minute. */
const CLOSED_MS = 60_000

/** What Bitrix24 would have said. */
const CODES = { bucket: 'QUERY_LIMIT_EXCEEDED', method: 'OPERATION_TIME_LIMIT' }

/** What was tried for one call, with the pair that it is at. */
interface CallState {
  call: PortalCall & { signal: AbortSignal }
  access: PortalAccess
  waitEnd: number
  tried: Array<Recovery['type']>
}

/** Makes calls to portals: with a token that is good, within the portal's limits, and again where that helps and does no harm. */
export class PortalCalls {
  readonly #parts: PortalCallsParts
  readonly #mostWaitMs: number
  readonly #resets = new OperatingResets()
  readonly #blocks: PortalBlocks

  constructor (parts: PortalCallsParts) {
    this.#parts = parts
    this.#mostWaitMs = parts.mostWaitMs ?? 5_000
    this.#blocks = parts.blocks ?? new PortalBlocks()
  }

  /**
   * Resolves with the answer of a call that succeeded. Rejects with the reason of `signal` when that aborts.
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
      throw coded(error)
    }
  }

  /** Reads the token and reserves a place at the same time. What fails is for `#make` to await. */
  #begin (memberId: string, method: string): CallStart {
    const mostMs = this.#mostWaitMs
    const start: CallStart = {
      access: this.#parts.tokens.access(memberId),
      waitMs: this.#reserve({ memberId, method }, mostMs),
      waitEnd: performance.now() + mostMs
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
      const answer = await this.#post(state)
      const error = call.batchError?.(answer.body)
      const { access } = state
      const { memberId, domain, accessToken } = access
      const classified = classify(error === undefined ? answer : { ...answer, body: error }, { memberId, domain, accessToken, method, params: call.params })
      if (classified.type === 'result') return this.#succeeded(answer, state)
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

  #succeeded (answer: PortalResponse, { access, call: { memberId, method } }: CallState): Answered {
    // Nobody waits for it.
    if (access.isSuspended) this.#parts.tokens.resume(access)
    if (isObject(answer.body)) this.#resets.note(memberId, method, answer.body['time'])
    this.#blocks.clear(memberId, method)
    return { answer, access }
  }

  /** Does what makes another attempt worth while, or fails. */
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
        const ms = recovery.isTransient && READS.test(method.toLowerCase()) ? REPEATS_MS[before] : undefined
        if (ms === undefined) throw recovery.error
        return await pause(ms * (0.5 + Math.random()), signal)
      }
      case 'error': throw recovery.error
    }
  }

  async #wait ({ code, scope, waitMs }: Recovery & { type: 'limit' }, { call: { memberId, method, signal } }: CallState, before: number): Promise<void> {
    const { limits } = this.#parts
    const closedMs = scope === 'portal' ? undefined : waitMs ?? this.#resets.waitMs(memberId, method) ?? CLOSED_MS
    await unlessAborted(closedMs === undefined ? limits.fill(memberId) : limits.close(memberId, method.toLowerCase(), closedMs), signal)
    if (before >= MAX_WAITS) throw limitError(method, code, closedMs ?? NEXT_TRY_MS)
  }

  /** Reserves a place at the portal. @returns how long to wait for it, ms */
  async #reserve ({ memberId, method }: Pick<PortalCall, 'memberId' | 'method'>, mostMs: number): Promise<number> {
    const reservation = await this.#parts.limits.reserve(memberId, method.toLowerCase(), Math.max(0, Math.floor(mostMs)))
    if (reservation.status === 'reserved') return reservation.waitMs
    throw limitError(method, CODES[reservation.full], reservation.retryAfterMs)
  }
}

/** What has no code of ours is a mistake of ours; it goes along as the cause. */
function coded (error: unknown): unknown {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' && code.startsWith('FST_B24_') ? error : new FST_B24_INTERNAL({ cause: error })
}

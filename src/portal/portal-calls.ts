import { setMaxListeners } from 'node:events'
import { limitError } from './call-error.ts'
import type { PortalAccess } from './portal-access.ts'
import type { PortalLimits } from './portal-limits.ts'
import type { RestTransport } from './rest-transport.ts'
import type { Tokens } from './tokens.ts'
import { pause, unlessAborted } from './unless-aborted.ts'
import { judge, type PortalAnswer, type Remedy } from './verdict.ts'

/** One call of a method, by whoever it is made. */
export interface PortalCall {
  memberId: string
  method: string
  /** Method and query, behind the REST base of the portal. */
  path: string
  /** What the method is given, without a token. */
  params: object
  timeoutMs: number
  signal?: AbortSignal | undefined
  /** Token that was read for this call just now. */
  access?: PortalAccess | undefined
}

export interface PortalCallsParts {
  tokens: Pick<Tokens, 'access' | 'renew' | 'locate'>
  limits: PortalLimits
  transport: RestTransport
  /** Longest that a call waits for its portal's limits, ms. @default 5000 */
  mostWaitMs?: number | undefined
}

export interface Answered {
  answer: PortalAnswer
  /** What the portal took. */
  access: PortalAccess
}

/** Pauses before a call that only reads is made again, ms. */
const REPEATS_MS = [200, 600]
/** Not `event.offline.get` and the like, which take away what they read. */
const READS = /(?<!\.offline|\.event)\.(get|list|getlist|fields|count)$|^(app\.info|profile|scope|methods|events|server\.time)$/
/** Where waiting does not help, calls are only made worse by more of them. */
const MOST_WAITS = 5
const NEXT_TRY_MS = 1_000

/** What Bitrix24 would have said. */
const CODES = { bucket: 'QUERY_LIMIT_EXCEEDED', method: 'OPERATION_TIME_LIMIT' }

/** What was tried for one call. */
interface Course {
  call: PortalCall
  access: PortalAccess
  waitEnd: number
  remedies: Remedy['type'][]
}

/** Makes calls to portals: with a token that is good, within the portal's limits, and again where that helps and does no harm. */
export class PortalCalls {
  readonly #parts: PortalCallsParts
  readonly #mostWaitMs: number

  constructor (parts: PortalCallsParts) {
    this.#parts = parts
    this.#mostWaitMs = parts.mostWaitMs ?? 5_000
  }

  /**
   * Resolves with the answer of a call that succeeded. Rejects with the reason of `signal` when that aborts.
   *
   * @throws FST_B24_PORTAL_CALL, FST_B24_PORTAL_LIMIT, FST_B24_PORTAL_UNAVAILABLE, FST_B24_PRIVATE_ADDRESS, and as `Tokens.access`
   */
  async make (call: PortalCall): Promise<Answered> {
    const { memberId, signal, access: known } = call
    const waitEnd = performance.now() + this.#mostWaitMs
    // As many listeners as calls under way are no leak, of which Node would warn from the eleventh on.
    if (signal !== undefined) setMaxListeners(0, signal)
    // Together they take the time of one.
    const reads = Promise.all([known ?? this.#parts.tokens.access(memberId), this.#reserve(call, this.#mostWaitMs)])
    const [access, waitMs] = await unlessAborted(reads, signal)
    await pause(waitMs, signal)
    const course: Course = { call, access, waitEnd, remedies: [] }
    for (;;) {
      const answer = await this.#post(course)
      const remedy = judge(answer, { ...course.access, method: call.method })
      if (remedy === undefined) return { answer, access: course.access }
      await this.#apply(remedy, course)
      course.remedies.push(remedy.type)
      await pause(await unlessAborted(this.#reserve(call, course.waitEnd - performance.now()), signal), signal)
    }
  }

  async #post ({ call: { memberId, path, params, timeoutMs, signal }, access }: Course): Promise<PortalAnswer> {
    const body = JSON.stringify({ ...params, auth: access.accessToken })
    return await this.#parts.transport.post({ memberId, url: access.clientEndpoint + path, body, timeoutMs, signal })
  }

  /** Does what makes another attempt worth while, or fails. */
  async #apply (remedy: Remedy, course: Course): Promise<void> {
    const { tokens, limits } = this.#parts
    const { call: { memberId, method, signal }, access, remedies } = course
    const before = remedies.filter(type => type === remedy.type).length
    switch (remedy.type) {
      case 'wait': {
        const { code, closedMs } = remedy
        await unlessAborted(closedMs === undefined ? limits.fill(memberId) : limits.close(memberId, method.toLowerCase(), closedMs), signal)
        if (before >= MOST_WAITS) throw limitError(method, code, closedMs ?? NEXT_TRY_MS)
        return
      }
      case 'renew': {
        if (before > 0) throw remedy.error
        course.access = await unlessAborted(tokens.renew(access), signal)
        return
      }
      case 'locate': {
        // The OAuth server answers no token whose hour is over; with a new one, it tells the address too.
        const located = tokens.locate(access).catch(async () => await tokens.renew(access))
        course.access = await unlessAborted(located, signal)
        if (before > 0 || course.access.clientEndpoint === access.clientEndpoint) throw remedy.error
        return
      }
      case 'repeat': {
        const ms = READS.test(method.toLowerCase()) ? REPEATS_MS[before] : undefined
        if (ms === undefined) throw remedy.error
        return await pause(ms * (0.5 + Math.random()), signal)
      }
      case 'fail': throw remedy.error
    }
  }

  /** Reserves a place at the portal. @returns how long to wait for it, ms */
  async #reserve ({ memberId, method }: PortalCall, mostMs: number): Promise<number> {
    const reservation = await this.#parts.limits.reserve(memberId, method.toLowerCase(), Math.max(0, Math.floor(mostMs)))
    if (reservation.status === 'reserved') return reservation.waitMs
    throw limitError(method, CODES[reservation.full], reservation.retryAfterMs)
  }
}

import { setMaxListeners } from 'node:events'
import { limitError } from './call-error.ts'
import type { PortalAccess } from '../tokens/portal-access.ts'
import type { PortalLimits } from '../limits/portal-limits.ts'
import type { RestTransport } from './rest-transport.ts'
import type { Tokens } from '../tokens/tokens.ts'
import { pause, unlessAborted } from '../../time/unless-aborted.ts'
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
  /** More headers of the request, by their names in small letters. */
  headers?: Readonly<Record<string, string>> | undefined
  /** Largest answer in bytes, unpacked. @default 1048576 */
  maxBytes?: number | undefined
  /** What `begin` gave for this call. */
  start?: CallStart | undefined
}

/** What a call needs before it is made, on its way from the store; it fails nothing before the call takes it. */
export interface CallStart {
  access: Promise<PortalAccess>
  /** How long to wait for the place that is reserved, ms. */
  waitMs: Promise<number>
  /** When to wait no more, on the clock of `performance.now()`. */
  waitEnd: number
}

/** What calls need of the tokens. */
export type CallTokens = Pick<Tokens, 'access' | 'renew' | 'replace' | 'suspend' | 'resume' | 'locate'>

export interface PortalCallsParts {
  tokens: CallTokens
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

/** What was tried for one call, with the pair that it is at. */
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

  /** Reads the token and reserves a place for a call that is about to be made: what its maker does until then takes no time of its own. */
  begin (memberId: string, method: string): CallStart {
    const mostMs = this.#mostWaitMs
    const start: CallStart = {
      access: this.#parts.tokens.access(memberId),
      waitMs: this.#reserve({ memberId, method }, mostMs),
      waitEnd: performance.now() + mostMs
    }
    for (const read of [start.access, start.waitMs]) read.catch(() => {})
    return start
  }

  /**
   * Resolves with the answer of a call that succeeded. Rejects with the reason of `signal` when that aborts.
   *
   * @throws FST_B24_PORTAL_CALL, FST_B24_PORTAL_LIMIT, FST_B24_PORTAL_UNAVAILABLE, FST_B24_PRIVATE_ADDRESS, and as `Tokens.access`
   */
  async make (call: PortalCall): Promise<Answered> {
    const { memberId, method, signal, start = this.begin(memberId, method) } = call
    // As many listeners as calls under way are no leak, of which Node would warn from the eleventh on.
    if (signal !== undefined) setMaxListeners(0, signal)
    const [access, waitMs] = await unlessAborted(Promise.all([start.access, start.waitMs]), signal)
    await pause(waitMs, signal)
    const course: Course = { call, access, waitEnd: start.waitEnd, remedies: [] }
    for (;;) {
      const answer = await this.#post(course)
      const remedy = judge(answer, { ...course.access, method: call.method })
      if (remedy === undefined) {
        const { access } = course
        // Nobody waits for it.
        if (access.isOnTrial) this.#parts.tokens.resume(access)
        return { answer, access }
      }
      await this.#apply(remedy, course)
      await pause(await unlessAborted(this.#reserve(call, course.waitEnd - performance.now()), signal), signal)
    }
  }

  async #post ({ call: { memberId, path, params, timeoutMs, signal, headers, maxBytes }, access }: Course): Promise<PortalAnswer> {
    const body = JSON.stringify({ ...params, auth: access.accessToken })
    return await this.#parts.transport.post({ memberId, url: access.clientEndpoint + path, body, timeoutMs, signal, headers, maxBytes })
  }

  /** Does what makes another attempt worth while, or fails. */
  async #apply (remedy: Remedy, course: Course): Promise<void> {
    const { tokens, limits } = this.#parts
    const { call: { memberId, method, signal }, access, remedies } = course
    const before = remedies.filter(type => type === remedy.type).length
    remedies.push(remedy.type)
    switch (remedy.type) {
      case 'wait': {
        const { code, closedMs } = remedy
        await unlessAborted(closedMs === undefined ? limits.fill(memberId) : limits.close(memberId, method.toLowerCase(), closedMs), signal)
        if (before >= MOST_WAITS) throw limitError(method, code, closedMs ?? NEXT_TRY_MS)
        return
      }
      case 'renew': {
        if (before === 0) course.access = await unlessAborted(tokens.renew(access), signal)
        else if (remedy.last !== undefined) await this.#apply(remedy.last, course)
        else throw remedy.error
        return
      }
      case 'replace': {
        const next = await unlessAborted(tokens.replace(access, remedy.error.portalCode), signal)
        if (next === undefined) throw remedy.error
        course.access = next
        course.remedies = []
        return
      }
      case 'suspend': {
        await unlessAborted(tokens.suspend(access, { reason: remedy.reason, error: remedy.error.portalCode }), signal)
        throw remedy.error
      }
      case 'locate': {
        course.access = await unlessAborted(tokens.locate(access).catch(async () => await this.#relocate(access)), signal)
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

  /** The OAuth server answers no token whose hour is over. It tells the address with a new one, unless that was made before the portal moved. */
  async #relocate (access: PortalAccess): Promise<PortalAccess> {
    const { tokens } = this.#parts
    const renewed = await tokens.renew(access)
    return renewed.clientEndpoint === access.clientEndpoint ? await tokens.locate(renewed) : renewed
  }

  /** Reserves a place at the portal. @returns how long to wait for it, ms */
  async #reserve ({ memberId, method }: Pick<PortalCall, 'memberId' | 'method'>, mostMs: number): Promise<number> {
    const reservation = await this.#parts.limits.reserve(memberId, method.toLowerCase(), Math.max(0, Math.floor(mostMs)))
    if (reservation.status === 'reserved') return reservation.waitMs
    throw limitError(method, CODES[reservation.full], reservation.retryAfterMs)
  }
}

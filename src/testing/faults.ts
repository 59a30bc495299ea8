import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyReply } from 'fastify'
import type { Answer } from './oauth/oauth-answers.ts'

/** Endpoints of the OAuth server. */
export type FaultPoint = 'app.info' | 'token'

/** A fault of a server. With only a delay, the response is correct but late. */
export interface Fault {
  /** @default 200 with `body`, otherwise that of the correct response */
  status?: number
  /** Strings and buffers are sent verbatim, other values as JSON. */
  body?: unknown
  headers?: Record<string, string>
  /**
   * Transforms the bytes of the response, for example to compress or truncate it or to add a BOM.
   * Set `content-encoding` in `headers`.
   */
  transform?: (body: string) => string | Buffer
  /** Limits the fault to requests about this portal. @default every portal */
  portal?: object
  /** Delay before processing. If the client disconnects meanwhile, the request is dropped as if it had never arrived. */
  delayMs?: number
  /** Delay after processing, before the response: tokens are refreshed and rows deleted already. */
  answerDelayMs?: number
  /** Neither processes the request nor responds; the connection stays open until the client or the simulator closes it. */
  hang?: boolean
  /**
   * Number of affected requests.
   * @default Infinity
   */
  times?: number
}

/** Active faults. Each ends after `times` requests or when removed. */
export class FaultList<Point extends string = FaultPoint> {
  readonly #faults: Array<{ point: Point, fault: Fault, left: number }> = []

  /** @returns a function that lifts the fault */
  add (point: Point, fault: Fault): () => void {
    const entry = { point, fault, left: fault.times ?? Infinity }
    this.#faults.push(entry)
    return () => { entry.left = 0 }
  }

  /**
   * Returns the oldest active fault at a point, or at `'*'`, and counts it.
   *
   * @param portal portal of the request, if known
   */
  take (point: Point, portal?: object): Fault | undefined {
    const entry = this.#faults.find(({ point: at, left, fault }) => {
      return (at === point || at === '*') && left > 0 && (fault.portal === undefined || fault.portal === portal)
    })
    if (entry === undefined) return undefined
    entry.left--
    return entry.fault
  }

  clear (): void {
    this.#faults.length = 0
  }
}

/** Responds with the result of `work`, or according to a fault. */
export async function answerWith (reply: FastifyReply, fault: Fault = {}, work: () => Answer | Promise<Answer>): Promise<FastifyReply> {
  const { hang, delayMs, answerDelayMs } = fault
  if (hang === true) return reply.hijack()
  if (delayMs !== undefined) await sleep(delayMs, undefined, { ref: false })
  if (reply.request.socket.destroyed) return reply.hijack()
  const answer = faulty(fault) ?? await work()
  if (answerDelayMs !== undefined) await sleep(answerDelayMs, undefined, { ref: false })
  return send(reply, answer, fault)
}

function faulty ({ status, body }: Fault): Answer | undefined {
  return status === undefined && body === undefined ? undefined : [status ?? 200, body ?? '']
}

function send (reply: FastifyReply, [status, body, ownHeaders]: Answer, { headers, transform }: Fault): FastifyReply {
  const isText = typeof body === 'string' || Buffer.isBuffer(body)
  const bytes = isText ? body : JSON.stringify(body)
  reply.code(status).type(typeof body === 'string' ? 'text/html' : 'application/json').headers({ ...ownHeaders, ...headers })
  return reply.send(transform === undefined ? bytes : transform(String(bytes)))
}

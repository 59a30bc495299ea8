import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyReply } from 'fastify'
import type { Answer } from './oauth/oauth-answers.ts'

/** The two things an OAuth server is asked. */
export type FaultPoint = 'app.info' | 'token'

/** How a server misbehaves. With a delay alone the answer is right, but late. */
export interface Fault {
  /** @default 200 when there is a body, else the right answer's */
  status?: number
  /** Text and buffers go out as they are, all else as JSON. */
  body?: unknown
  headers?: Record<string, string>
  /**
   * Changes the bytes of the answer, be it the right one or `body`: compresses it, cuts it off, puts a BOM before it.
   * The `content-encoding` is told in `headers`.
   */
  transform?: (body: string) => string | Buffer
  /** Hits only what is asked about this portal, whose tokens the OAuth server knows by. @default every portal */
  portal?: object
  /** Late before the server has worked. Who has hung up by then is not served: as if the request had never arrived. */
  delayMs?: number
  /** Late after the server has worked: tokens are traded, rows are deleted, only the answer is not there yet. */
  answerDelayMs?: number
  /** Never answers and does no work; the connection stays open until the caller or the simulator closes it. */
  hang?: boolean
  /**
   * Requests it hits.
   * @default Infinity
   */
  times?: number
}

/** The faults in force, each until it has hit `times` requests or is lifted. */
export class FaultList<Point extends string = FaultPoint> {
  readonly #faults: Array<{ point: Point, fault: Fault, left: number }> = []

  /** @returns a function that lifts the fault */
  add (point: Point, fault: Fault): () => void {
    const entry = { point, fault, left: fault.times ?? Infinity }
    this.#faults.push(entry)
    return () => { entry.left = 0 }
  }

  /**
   * The oldest fault in force at a point, or at `'*'`; counts as one hit.
   *
   * @param portal that the request is about, when that is known
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

/** Answers as `work` says, or as a fault has it. */
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

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { ipPrefix } from '../delivery/client-ip.ts'
import { FST_B24_BODY_BUSY, FST_B24_BODY_TIMEOUT, FST_B24_CLOSING } from '../errors.ts'
import { streamOfParsedBody, wasRead } from './body-parsers.ts'

export interface BodyReadingOptions {
  /** Time from the headers of a request to the last byte of its body, in milliseconds. */
  timeoutMs?: number
  /** Time that a body which is under way has when the app closes, in milliseconds. */
  closeMs?: number
  /** Bytes of large bodies that are read at once. */
  budget?: BodyBudget
}

interface Reading {
  timer: NodeJS.Timeout
  end: (error: Error) => void
}

const TIMEOUT_MS = 10_000
const CLOSE_MS = 1_000
/** A response needs some time on its way before the connection is destroyed. */
const LINGER_MS = 500

/**
 * Bounds how bodies are read on the routes of a scope, in time and in bytes, whatever the host bounds. A body that the platform
 * has read already (serverless hosts) is taken from the request.
 *
 * @param bodyLimit largest body that is read, in bytes
 */
export function limitBodies (scope: FastifyInstance, bodyLimit: number, { timeoutMs = TIMEOUT_MS, closeMs = CLOSE_MS, budget = new BodyBudget() }: BodyReadingOptions = {}): void {
  const readings = new Map<FastifyRequest, Reading>()

  scope.addHook('onRequest', (request, reply, done) => {
    if (!wasRead(request.raw) && hasBody(request)) {
      const end = (error: Error): void => abortReading(request, reply, error)
      // The error is made only when it is needed: its stack costs more than all else here.
      readings.set(request, { end, timer: setTimeout(() => end(new FST_B24_BODY_TIMEOUT(timeoutMs)), timeoutMs) })
      onceClosed(reply, () => stop(request))
    }
    done()
  })
  scope.addHook('preParsing', (request, reply, payload, done) => {
    if (request.method === 'POST' && payload === request.raw && wasRead(request.raw)) {
      try {
        return done(null, streamOfParsedBody(request.raw))
      } catch (error) {
        return done(error as Error)
      }
    }
    const release = budget.reserve(sizeOf(request, bodyLimit), request.ip)
    if (release === undefined) return done(new FST_B24_BODY_BUSY())
    onceClosed(reply, release)
    done(null, payload)
  })
  scope.addHook('preValidation', (request, _reply, done) => {
    stop(request)
    done()
  })
  // A connection whose body never ends would keep the server from closing.
  scope.addHook('preClose', async () => {
    for (const reading of readings.values()) {
      clearTimeout(reading.timer)
      reading.timer = setTimeout(() => reading.end(new FST_B24_CLOSING()), closeMs)
    }
  })

  function stop (request: FastifyRequest): void {
    clearTimeout(readings.get(request)?.timer)
    readings.delete(request)
  }
}

/** A hook of the host may have awaited something while the sender hung up: then no event tells of it any more. */
function onceClosed ({ raw }: FastifyReply, act: () => void): void {
  if (raw.destroyed) act()
  else raw.once('close', act)
}

function hasBody ({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/** A body whose length is not announced counts as the largest. */
function sizeOf (request: FastifyRequest, bodyLimit: number): number {
  if (!hasBody(request)) return 0
  const announced = Number(request.headers['content-length'] ?? bodyLimit)
  // Fastify refuses what is larger before it reads any of it.
  return announced > bodyLimit ? 0 : announced
}

/** Answers the error, and closes the connection: the rest of the body is not waited for. */
function abortReading ({ raw }: FastifyRequest, reply: FastifyReply, error: Error): void {
  reply.header('connection', 'close')
  // Where nobody reads yet, or a stream stands between, nobody answers either.
  if (raw.listenerCount('error') > 0) raw.emit('error', error)
  setTimeout(() => raw.destroy(), LINGER_MS).unref()
}

export interface BudgetOptions {
  /** Bytes of large bodies that are read at once, in all. */
  most?: number
  /** Bodies up to this size, in bytes, are not counted: an event has one or two kilobytes. */
  free?: number
}

/** What one sender may have of the budget, and what is left for those that have nothing yet: a few senders must not take it all. */
const SHARE = 1 / 4

/**
 * Bounds the memory of bodies that are read at once. Who sends one is not known before it is read, so large bodies of strangers
 * must not fill the memory; small ones are always taken.
 */
export class BodyBudget {
  readonly #most: number
  readonly #free: number
  readonly #bySource = new Map<string, number>()
  #taken = 0

  constructor ({ most = 32 * 1024 * 1024, free = 64 * 1024 }: BudgetOptions = {}) {
    this.#most = most
    this.#free = free
  }

  /** Reserves the bytes of a body. Returns what releases them, or `undefined` where there is no room. */
  reserve (bytes: number, ip: string): (() => void) | undefined {
    if (bytes <= this.#free) return () => {}
    const source = ipPrefix(ip)
    const own = (this.#bySource.get(source) ?? 0) + bytes
    const room = this.#most * (this.#bySource.has(source) ? 1 - SHARE : 1)
    if (this.#taken + bytes > room || own > this.#most * SHARE) return undefined
    this.#taken += bytes
    this.#bySource.set(source, own)
    return () => this.#release(bytes, source)
  }

  #release (bytes: number, source: string): void {
    this.#taken -= bytes
    const rest = (this.#bySource.get(source) ?? 0) - bytes
    if (rest > 0) this.#bySource.set(source, rest)
    else this.#bySource.delete(source)
  }
}

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { ipPrefix } from '../delivery/client-ip.ts'
import { FST_B24_BODY_BUSY, FST_B24_BODY_TIMEOUT, FST_B24_CLOSING } from '../errors.ts'
import { streamOfParsedBody, wasRead } from './body-parsers.ts'

export interface BodyReadingOptions {
  /** Timeout from the headers of a request to the last byte of its body, in milliseconds. */
  timeoutMs?: number
  /** Timeout for bodies in progress when the app closes, in milliseconds. */
  closeMs?: number
  /** Limits the bytes of large bodies that are read concurrently. */
  budget?: BodyBudget
}

interface Reading {
  timer: NodeJS.Timeout
  end: (error: Error) => void
}

const TIMEOUT_MS = 10_000
const CLOSE_MS = 1_000
/** Delay that lets a response be sent before its connection is destroyed. */
const LINGER_MS = 500

/**
 * Limits the time and memory for reading bodies on the routes of a scope, independently of the host. A body that the platform has
 * already consumed (serverless hosts) is taken from the request.
 *
 * @param bodyLimit maximum body size, in bytes
 */
export function limitBodies (scope: FastifyInstance, bodyLimit: number, { timeoutMs = TIMEOUT_MS, closeMs = CLOSE_MS, budget = new BodyBudget() }: BodyReadingOptions = {}): void {
  const readings = new Map<FastifyRequest, Reading>()

  scope.addHook('onRequest', (request, reply, done) => {
    if (!wasRead(request.raw) && hasBody(request)) {
      const end = (error: Error): void => abortReading(request, reply, error)
      // The error is created only when needed: its stack trace is expensive.
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
  // A body that never ends would block closing the server.
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

/** Calls `act` on close, or immediately if the sender disconnected during an asynchronous hook of the host. */
function onceClosed ({ raw }: FastifyReply, act: () => void): void {
  if (raw.destroyed) act()
  else raw.once('close', act)
}

function hasBody ({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/** Returns the announced size of a body; without one, the limit. */
function sizeOf (request: FastifyRequest, bodyLimit: number): number {
  if (!hasBody(request)) return 0
  const announced = Number(request.headers['content-length'] ?? bodyLimit)
  // Fastify rejects larger bodies without reading them.
  return announced > bodyLimit ? 0 : announced
}

/** Responds with the error and closes the connection without waiting for the rest of the body. */
function abortReading ({ raw }: FastifyRequest, reply: FastifyReply, error: Error): void {
  reply.header('connection', 'close')
  // Without a listener (nothing reads yet, or through another stream) no response is sent.
  if (raw.listenerCount('error') > 0) raw.emit('error', error)
  setTimeout(() => raw.destroy(), LINGER_MS).unref()
}

export interface BudgetOptions {
  /** Total bytes of large bodies that are read concurrently. */
  most?: number
  /** Bodies up to this size, in bytes, are not counted; an event has one or two kilobytes. */
  free?: number
}

/** Maximum share of the budget per sender, and the share reserved for senders without a body in progress. */
const SHARE = 1 / 4

/**
 * Limits the memory of bodies that are read concurrently. Senders cannot be verified before their body is read, so large bodies must
 * not exhaust the memory. Small bodies are always accepted.
 */
export class BodyBudget {
  readonly #most: number
  readonly #free: number
  readonly #bySource = new Map<string, number>()
  #reserved = 0

  constructor ({ most = 32 * 1024 * 1024, free = 64 * 1024 }: BudgetOptions = {}) {
    this.#most = most
    this.#free = free
  }

  /** Reserves the bytes of a body. Returns a function that releases them, or `undefined` if the limit is reached. */
  reserve (bytes: number, ip: string): (() => void) | undefined {
    if (bytes <= this.#free) return () => {}
    const source = ipPrefix(ip)
    const own = (this.#bySource.get(source) ?? 0) + bytes
    const room = this.#most * (this.#bySource.has(source) ? 1 - SHARE : 1)
    if (this.#reserved + bytes > room || own > this.#most * SHARE) return undefined
    this.#reserved += bytes
    this.#bySource.set(source, own)
    return () => this.#release(bytes, source)
  }

  #release (bytes: number, source: string): void {
    this.#reserved -= bytes
    const rest = (this.#bySource.get(source) ?? 0) - bytes
    if (rest > 0) this.#bySource.set(source, rest)
    else this.#bySource.delete(source)
  }
}

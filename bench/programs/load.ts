import autocannon, { type Options, type Result } from 'autocannon'
import { serveParent } from '../common/parent.ts'

/** One round of load; it lasts `seconds`, or `amount` requests. */
export interface LoadOrder {
  url: string
  bodies: string[]
  connections: number
  seconds: number
  amount?: number
}

export interface LoadResult {
  requests: number
  perSecond: number
  p99Ms: number
  /** Answers that were not 200, and connections that broke. */
  failures: number
}

serveParent({}, async ({ bodies, seconds, ...order }: LoadOrder): Promise<LoadResult> => {
  const latencies: number[] = []
  const started = performance.now()
  const { non2xx, errors } = await shoot({
    ...order,
    duration: seconds,
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    requests: bodies.map(body => ({ body }))
  }, latencies)
  const elapsed = (performance.now() - started) / 1000
  latencies.sort((a, b) => a - b)
  const p99Ms = latencies[Math.floor(latencies.length * 0.99)] ?? NaN
  return { requests: latencies.length, perSecond: latencies.length / elapsed, p99Ms, failures: non2xx + errors }
})

/** Collects the latencies itself, in ms: the histogram of autocannon knows whole ones only. */
function shoot (options: Options, latencies: number[]): Promise<Result> {
  return new Promise((resolve, reject) => {
    const run = autocannon(options, (error: Error | null, result) => error === null ? resolve(result) : reject(error))
    run.on('response', (_client, _status, _bytes, ms) => latencies.push(ms))
  })
}

import autocannon, { type Client, type Options, type Request, type Result } from 'autocannon'
import { ITEM_ID } from '../common/body.ts'
import { serveParent } from '../common/parent.ts'

/** One round of load; it lasts `seconds`, or `amount` requests. */
export interface LoadOrder {
  url: string
  /** Sent in turn by each connection. Where they name `ITEM_ID`, each post is of another item. */
  bodies: string[]
  connections: number
  seconds: number
  amount?: number
  /** First of the ids. */
  fromId?: number
}

export interface LoadResult {
  requests: number
  perSecond: number
  p99Ms: number
  /** Answers that were not 200, and connections that broke. */
  failures: number
}

/** More than one connection can post. */
const POSTS_A_SECOND = 1_000

serveParent({}, async ({ bodies, fromId = 1, ...order }: LoadOrder): Promise<LoadResult> => {
  const { connections, seconds, amount } = order
  const each = Math.ceil(amount === undefined ? seconds * POSTS_A_SECOND : amount / connections)
  let client = 0
  const { latencies, elapsedMs, failures } = await shoot({
    ...order,
    duration: seconds,
    sampleInt: 50,
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    setupClient: (connection: Client) => connection.setRequests(requestsOf(bodies, client++, each, fromId) as Request[])
  })
  latencies.sort((a, b) => a - b)
  const p99Ms = latencies[Math.floor(latencies.length * 0.99)] ?? NaN
  return { requests: latencies.length, perSecond: latencies.length * 1000 / elapsedMs, p99Ms, failures }
})

/** Requests of one connection. Each starts with another portal: events of one portal rarely come together. */
function requestsOf (bodies: readonly string[], client: number, count: number, fromId: number): Array<{ body: string }> {
  const length = bodies[0]!.includes(ITEM_ID) ? count : bodies.length
  return Array.from({ length }, (_, at) => ({
    body: bodies[(client + at) % bodies.length]!.replace(ITEM_ID, String(fromId + client * count + at))
  }))
}

/** Collects the latencies itself, in ms: the histogram of autocannon knows whole ones only. */
function shoot (options: Options): Promise<{ latencies: number[], elapsedMs: number, failures: number }> {
  const latencies: number[] = []
  let start = 0
  let end = 0
  return new Promise((resolve, reject) => {
    const run = autocannon(options, (error: Error | null, { non2xx, errors }: Result) => {
      if (error === null) resolve({ latencies, elapsedMs: end - start, failures: non2xx + errors })
      else reject(error)
    })
    run.on('start', () => { start = performance.now() })
    run.on('response', (_client, _status, _bytes, ms) => {
      end = performance.now()
      latencies.push(ms)
    })
  })
}

import { Agent, request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { ITEM_ID } from '../common/body.ts'
import { serveParent } from '../common/parent.ts'

/** Posts that come evenly, whether or not those before are answered. */
export interface PacedOrder {
  url: string
  /** Sent in turn, each post of another item. */
  bodies: string[]
  perSecond: number
  seconds: number
  fromId: number
}

export interface PacedResult {
  p50Ms: number
  p99Ms: number
  failures: number
}

const agent = new Agent({ keepAlive: true })

serveParent({}, async ({ url, bodies, perSecond, seconds, fromId }: PacedOrder): Promise<PacedResult> => {
  const start = performance.now()
  const answers: Array<Promise<number>> = []
  for (let count = 0; count < perSecond * seconds; count++) {
    const due = start + count * 1000 / perSecond
    if (due > performance.now()) await pause(due - performance.now())
    answers.push(post(url, bodies[count % bodies.length]!.replace(ITEM_ID, String(fromId + count))))
  }
  const times = await Promise.all(answers)
  const answered = times.filter(ms => !Number.isNaN(ms)).sort((a, b) => a - b)
  const quantile = (part: number) => answered[Math.floor(answered.length * part)] ?? NaN
  return { p50Ms: quantile(0.5), p99Ms: quantile(0.99), failures: times.length - answered.length }
})

/** Time until the answer in ms; `NaN` when it is not 200. */
function post (url: string, body: string): Promise<number> {
  const start = performance.now()
  const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(body) }
  return new Promise((resolve) => {
    const posted = request(url, { method: 'POST', agent, headers }, (response) => {
      response.resume()
      response.once('end', () => resolve(response.statusCode === 200 ? performance.now() - start : NaN))
    })
    posted.once('error', () => resolve(NaN))
    posted.end(body)
  })
}

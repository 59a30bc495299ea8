import { setTimeout as sleep } from 'node:timers/promises'

/** What is asked whether it is idle: `app.bitrix24`. */
export interface Watched {
  health (): Promise<{ queue: { waiting: number, active: number } | undefined }>
}

const PAUSE_MS = 10

/**
 * Waits until nothing waits and nothing runs: an answer to a post says only that the event is stored. An event that is to be
 * tried again counts as waiting; a dead letter does not.
 *
 * @param timeoutMs how long to wait
 * @throws when something is left after that time
 */
export async function untilIdle (bitrix24: Watched, timeoutMs = 10_000): Promise<void> {
  const end = performance.now() + timeoutMs
  let left: unknown
  while (performance.now() < end) {
    const { queue } = await bitrix24.health()
    if (queue !== undefined && queue.waiting + queue.active === 0) return
    left = queue
    await sleep(PAUSE_MS)
  }
  throw new Error(`Not idle within ${timeoutMs} ms: ${JSON.stringify(left)}`)
}

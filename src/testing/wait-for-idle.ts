import { setTimeout as sleep } from 'node:timers/promises'

/** What is asked whether it is idle: `app.bitrix24`. */
export interface HasHealth {
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
export async function waitForIdle (bitrix24: HasHealth, timeoutMs = 10_000): Promise<void> {
  const end = performance.now() + timeoutMs
  let left: { waiting: number, active: number } | undefined
  while (performance.now() < end) {
    const { queue } = await bitrix24.health()
    if (queue !== undefined && queue.waiting + queue.active === 0) return
    left = queue
    await sleep(PAUSE_MS)
  }
  const hint = left !== undefined && left.waiting > 0
    ? '; waiting events may be waiting for another attempt: see the log, or set delivery.attempts to 1 in tests'
    : ''
  throw new Error(`Not idle within ${timeoutMs} ms: ${left === undefined ? 'the queue does not answer' : JSON.stringify(left)}${hint}`)
}

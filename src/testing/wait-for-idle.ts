import { setTimeout as sleep } from 'node:timers/promises'

/** Anything with the `health` method of `app.bitrix24`. */
export interface HasHealth {
  health (): Promise<{ queue: { waiting: number, active: number } | undefined }>
}

const PAUSE_MS = 10

/**
 * Waits until no event is waiting or active: a 200 only means that the event is stored. Events to be retried count as waiting, dead
 * letters do not.
 *
 * @param timeoutMs maximum wait, ms
 * @throws if events are left after that time
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

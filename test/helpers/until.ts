import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'

/** Waits until `condition` holds; the error contains `what` if it does not within `ms`. */
export async function until (condition: () => boolean | Promise<boolean>, what: string, ms = 15_000): Promise<void> {
  const end = performance.now() + ms
  while (!await condition()) {
    assert.ok(performance.now() < end, `not within ${ms} ms: ${what}`)
    await sleep(5)
  }
}

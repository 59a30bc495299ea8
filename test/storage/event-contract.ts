import type { ContractCase } from '../../src/testing/install-store-contract.ts'
import { ATTEMPTS } from './contract/attempts.ts'
import { CLOSING } from './contract/closing.ts'
import { DEAD_LETTERS } from './contract/dead-letters.ts'
import { HANDLING } from './contract/handling.ts'
import { KEYS } from './contract/keys.ts'
import { LISTENING } from './contract/listening.ts'
import { PLACES } from './contract/places.ts'
import { REPEATS } from './contract/repeats.ts'
import { RETENTION } from './contract/retention.ts'
import { SHARES } from './contract/shares.ts'
import { Trial } from './contract/trial.ts'
import { TURNS } from './contract/turns.ts'
import { WORKERS } from './contract/workers.ts'
import type { OpenStorage } from './drivers.ts'

const CHECKS = { ...HANDLING, ...ATTEMPTS, ...KEYS, ...REPEATS, ...TURNS, ...PLACES, ...SHARES, ...LISTENING, ...WORKERS, ...DEAD_LETTERS, ...RETENTION, ...CLOSING }

/**
 * Lists what the plugin relies on in an `EventQueue` on the event store of a driver. Each case has an app of its own, so that cases can run at the same time;
 * in each, no item may be handled twice at once, no more runs go on than asked for, and `onError` is never called.
 */
export function eventContract (open: OpenStorage): ContractCase[] {
  return Object.entries(CHECKS).map(([name, check]) => ({ name, run: () => tryOut(open, check) }))
}

async function tryOut (open: OpenStorage, check: (trial: Trial) => Promise<void>): Promise<void> {
  const trial = new Trial(open)
  try {
    await check(trial)
  } finally {
    await trial.close()
  }
  trial.assertSound()
}

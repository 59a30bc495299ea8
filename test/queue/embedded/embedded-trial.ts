import type { Test } from 'tap'
import { EmbeddedFolder } from '../../../src/queue/embedded/embedded-folder.ts'
import { openEmbeddedQueue, type EmbeddedQueueSettings } from '../../../src/queue/embedded/embedded-queue.ts'
import type { StoredLetter, EventQueue, Outcome, QueuedEvent, Run } from '../../../src/queue/queue.ts'
import { until } from '../../helpers/until.ts'

export const UNAVAILABLE = { code: 'FST_B24_STORE_UNAVAILABLE', statusCode: 503 }

export interface Seen extends Pick<Run, 'attempt' | 'coalesced'> {
  id: string
}

export interface EmbeddedTrial {
  queue: EventQueue
  runs: Seen[]
  ids: string[]
  dead: StoredLetter[]
  errors: NodeJS.ErrnoException[]
  work (handle?: (run: Run) => Promise<Outcome | void> | Outcome | undefined, concurrency?: number): void
  settled (ms?: number): Promise<void>
}

/** A queue that writes down its runs. */
export async function open (t: Test, dataDir: string, over: Partial<EmbeddedQueueSettings> = {}, app = 'app'): Promise<EmbeddedTrial> {
  const errors: NodeJS.ErrnoException[] = []
  const queue = await openEmbeddedQueue(dataDir, app, {
    attempts: 3,
    backoffMs: 10,
    stalledAfterMs: 60_000,
    deadLetters: { maxAgeMs: 3_600_000, maxCount: 1_000 },
    onError: error => errors.push(error),
    ...over
  })
  t.teardown(() => queue.close(100))
  const runs: Seen[] = []
  const dead: StoredLetter[] = []
  return {
    queue,
    runs,
    dead,
    errors,
    get ids () { return runs.map(({ id }) => id) },
    work (handle = () => undefined, concurrency = 8) {
      queue.work(async (run) => {
        runs.push({ id: (run.event as QueuedEvent | null)?.id ?? '', attempt: run.attempt, coalesced: run.coalesced })
        return await handle(run) ?? { status: 'done' }
      }, { concurrency, onDead: letter => dead.push(letter) })
    },
    async settled (ms) {
      await until(async () => {
        const { waiting, active } = await queue.counts()
        return waiting === 0 && active === 0
      }, 'nothing waits and nothing runs', ms)
    }
  }
}

/** The folder of the queue from the inside. */
export async function openFolder (t: Test, dataDir: string): Promise<EmbeddedFolder> {
  const folder = await EmbeddedFolder.open(dataDir, 'app')
  t.teardown(() => folder.close())
  return folder
}

export function newEvent (over: Partial<QueuedEvent> = {}): QueuedEvent {
  return { id: Math.random().toString(36), memberId: 'portal-a', code: 'ONCRMDEALUPDATE', receivedAt: Date.now(), payload: null, ...over }
}

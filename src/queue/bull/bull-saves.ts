import type { Redis } from 'ioredis'
import { storeUnavailable } from '../../storage/unavailable.ts'
import { withinDeadline } from '../../storage/within-deadline.ts'
import { defineScript, type BullScripts } from './bull-scripts.ts'

/** Keeps the progress (JSON) of a job; rejects, and keeps nothing, when the lock of the job is not that of `token` any more. */
export type Save = (jobId: string, token: string, progress: string) => Promise<void>

/** Has BullMQ's script that keeps progress look at the lock first; BullMQ itself lets everybody write. */
export function openSaves (client: Redis, scripts: BullScripts, queue: string): Save {
  const { lua, numberOfKeys = 0 } = scripts.get('updateProgress')
  const run = defineScript<number>(client, 'b24:updateProgress', { lua: `if redis.call('GET', KEYS[1] .. ':lock') ~= ARGV[3] then return -2 end\n${lua}`, numberOfKeys })
  return async (jobId, token, progress) => {
    const answer = await withinDeadline(run([`${queue}${jobId}`, `${queue}events`, `${queue}meta`, jobId, progress, token]))
    if (answer < 0) throw givenAway()
  }
}

/** What a run is told that is not the one any more. */
export function givenAway (): Error {
  return storeUnavailable(new Error('The event was given to another worker'))
}

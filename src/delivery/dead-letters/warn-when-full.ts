import type { FastifyBaseLogger } from 'fastify'

/** Least time between two looks, ms. */
const LOOK_MS = 60_000

/** To be called after each dead letter: warns when another one pushes out the oldest, be it of another portal. Looks now and then only. */
export function warnWhenFull (count: () => Promise<number>, maxCount: number, log: Pick<FastifyBaseLogger, 'warn'>): () => void {
  let lookedAt = -Infinity
  const look = async (): Promise<void> => {
    const dead = await count()
    if (dead >= maxCount) log.warn({ dead, maxCount }, 'as many dead letters as are kept: each new one takes the place of the oldest')
  }
  return () => {
    const now = performance.now()
    if (now - lookedAt < LOOK_MS) return
    lookedAt = now
    // A store that is away is told by who needs it.
    look().catch(() => {})
  }
}

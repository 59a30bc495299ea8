import { setTimeout as sleep } from 'node:timers/promises'
import type { IRedisClient } from 'bullmq'

/** Until the next job is asked for after a failure, ms. */
const REFUSED_MS = 500

/**
 * Changes what BullMQ sees of a client: commands of one turn of the event loop travel together, what a client that fails fast
 * gives up is tried again by BullMQ, not too soon, and `learn` is told of each script.
 */
export function adapt (adapted: IRedisClient, cork: () => void, learn: IRedisClient['defineCommand']): void {
  const { runCommand, defineCommand } = adapted
  adapted.runCommand = async (name, args) => {
    cork()
    try {
      return await runCommand(name, args)
    } catch (error) {
      // When a server takes no writes, BullMQ would ask for the next job again at once.
      if (name.startsWith('moveToActive:')) await sleep(REFUSED_MS)
      // BullMQ takes only some errors for those of a connection.
      throw Object.assign(error as Error, (error as Error).name !== 'ReplyError' && { code: 'ECONNREFUSED' })
    }
  }
  adapted.defineCommand = (name, definition) => {
    learn(name, definition)
    defineCommand(name, definition)
  }
}

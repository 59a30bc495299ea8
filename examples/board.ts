// Bull Board: what waits, what runs and what failed, in a browser. Behind a password: it shows the portals' data.
import { timingSafeEqual } from 'node:crypto'
import basicAuth from '@fastify/basic-auth'
import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { FastifyAdapter } from '@bull-board/fastify'
import { Queue } from 'bullmq'
import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import { bullQueueOf } from 'fastify-bitrix24'

export interface BoardOptions {
  redis: string
  password: string
  clientId: string
}

export async function showBoard (app: FastifyInstance, { redis, password, clientId }: BoardOptions): Promise<void> {
  if (password.length < 8) throw new Error('BOARD_PASSWORD must have 8 characters or more: the board shows what portals send')
  await app.register(basicAuth, {
    authenticate: { realm: 'queue' },
    validate: async (user, given) => {
      if (user !== 'admin' || !isEqual(given, password)) throw new Error('Wrong user or password')
    }
  })
  app.addHook('onRequest', app.basicAuth)

  const { name, prefix } = bullQueueOf(clientId)
  const connection = new Redis(redis, { maxRetriesPerRequest: null })
  const queue = new Queue(name, { prefix, connection })
  // The plugin tells of an outage. With nobody to hear it, each attempt to connect would print its stack.
  for (const source of [connection, queue]) source.on('error', (error: Error) => app.log.debug(error, 'the board has no Redis'))
  app.addHook('onClose', async () => {
    await queue.close()
    await connection.quit()
  })
  const server = new FastifyAdapter()
  // BullMQ's own retry forgets the error; the app's `deadLetters` replay and discard.
  createBullBoard({ queues: [new BullMQAdapter(queue, { readOnlyMode: true })], serverAdapter: server })
  server.setBasePath('/board')
  await app.register(server.registerPlugin(), { prefix: '/board' })
}

function isEqual (given: string, password: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(password)]
  return a.length === b.length && timingSafeEqual(a, b)
}

import type { FastifyInstance } from 'fastify'
import { settlesWithin } from '../async/with-timeout.ts'

/**
 * Lets the server close when the answers that a route has begun are sent. Node destroys a connection whose answer is written and not
 * yet given to the system, so that a sender would see a broken connection in place of a 200 or 503.
 *
 * @param mostMs longest wait, ms
 */
export function closeAfterAnswers (scope: FastifyInstance, mostMs: number): void {
  let underWay = 0
  let tellLast: (() => void) | undefined
  // Not before the body has come: a sender that trickles it would hold up the close.
  scope.addHook('preHandler', (_request, reply, done) => {
    // Who hung up before waits for no answer, and no event tells of it any more.
    if (!reply.raw.destroyed) {
      underWay++
      reply.raw.once('close', () => { if (--underWay === 0) tellLast?.() })
    }
    done()
  })
  scope.addHook('preClose', async () => {
    if (underWay > 0) await settlesWithin(new Promise<void>(resolve => { tellLast = resolve }), mostMs)
  })
}

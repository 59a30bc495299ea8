import { appendFileSync } from 'node:fs'
import type { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'

const file = process.env['B24_TEST_LOGS']

/** Keeps what was printed or answered: after the suite it is searched for every secret. */
export function keepLog (text: string): void {
  if (file !== undefined) appendFileSync(file, text.endsWith('\n') ? text : `${text}\n`)
}

/** Keeps what a program prints, in whole lines: those of others come between. */
export function keepOutput (...streams: Readable[]): void {
  if (file === undefined) return
  for (const stream of streams) {
    let rest = ''
    stream.on('data', (chunk: Buffer) => {
      const text = rest + chunk.toString()
      const end = text.lastIndexOf('\n') + 1
      rest = text.slice(end)
      if (end > 0) keepLog(text.slice(0, end))
    })
    stream.once('close', () => { if (rest !== '') keepLog(rest) })
  }
}

/** Keeps what an app answers, and to which path; what streams is not read. */
export function keepAnswers (app: FastifyInstance): void {
  app.addHook('onSend', async (request, reply, payload) => {
    const body = typeof payload === 'string' || Buffer.isBuffer(payload) ? String(payload) : ''
    keepLog(`${request.method} ${request.url.split('?')[0]} ${reply.statusCode} ${JSON.stringify(reply.getHeaders())} ${body}`)
  })
}

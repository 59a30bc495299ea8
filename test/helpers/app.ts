import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import fastifyBitrix24, { type FastifyBitrix24Options } from '../../src/index.ts'
import { createSimulator, type Simulator } from '../../src/testing/index.ts'
import { endSimulator } from './end-simulator.ts'
import { keepAnswers, keepLog } from './kept-logs.ts'
import { forgetApp } from './redis-keys.ts'
import { secret } from './secrets.ts'

export interface World {
  app: FastifyInstance
  b24: Simulator
  clientId: string
  /** Where the app listens: `http://127.0.0.1:<port>/bitrix24/events`. */
  eventsUrl: string
  /** All that the app logged, a line each. */
  logs: string[]
  /** What the plugin was registered with, for another app on the same storage. */
  options: FastifyBitrix24Options
}

/** What the host does to its app before it registers the plugin. */
type Prepare = (app: FastifyInstance) => void

/** A simulated Bitrix24 and an app that listens on loopback with SQLite; both end with the test. */
export async function buildWorld (t: Test, options: Partial<FastifyBitrix24Options> = {}, server: FastifyServerOptions = {}, prepare?: Prepare): Promise<World> {
  const clientId = `local.${secret().slice(1, 20)}`
  const clientSecret = secret()
  const b24 = await createSimulator({ clientId, clientSecret })
  if (options.redis !== undefined) forgetApp(t, clientId)
  const given = { clientId, clientSecret, oauthServers: [b24.oauthServer], allowPrivateNetworks: true, ...options }
  const { app, logs } = await buildApp(t, given, server, prepare)
  t.teardown(() => endSimulator(b24))
  await app.listen({ port: 0, host: '127.0.0.1' })
  return { app, b24, clientId, logs, options: given, eventsUrl: `${app.listeningOrigin}${options.prefix ?? '/bitrix24'}/events` }
}

/** An app with the plugin, not listening; what it logs and answers is kept and searched for secrets after the suite. */
export async function buildApp (t: Test, options: FastifyBitrix24Options, server: FastifyServerOptions = {}, prepare: Prepare = () => {}): Promise<{ app: FastifyInstance, logs: string[] }> {
  const logs: string[] = []
  const app = Fastify({
    ...server,
    forceCloseConnections: true,
    logger: { level: 'trace', stream: { write: line => { logs.push(line); keepLog(line) } } }
  })
  t.teardown(() => app.close())
  prepare(app)
  keepAnswers(app)
  const stored = options.redis === undefined ? { dataDir: temporaryFolder(t), ...options } : options
  await app.register(fastifyBitrix24, stored)
  return { app, logs }
}

export function temporaryFolder (t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'b24-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

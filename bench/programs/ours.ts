import { setTimeout as pause } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import Fastify from 'fastify'
import fastifyBitrix24, { type FastifyBitrix24Options } from 'fastify-bitrix24'
import { cpuMicros, now, readSettings, serveParent } from '../common/parent.ts'
import { Runs, type RunReport } from '../common/runs.ts'

export interface OursSettings {
  plugin: FastifyBitrix24Options
  /** How long the handler takes; 0: it is empty. */
  handlerMs?: number
  /** Notes when each post comes. */
  watch?: boolean
}

export interface OursQuestion {
  /** Collects the garbage first. */
  collect?: boolean
  close?: boolean
}

export interface OursReport {
  cpuMicros: number
  heapBytes: number
  runs: RunReport
  /** When the last post came, before it was stored, ms since the epoch. */
  lastPostAt: number
}

const { plugin, handlerMs = 0, watch = false } = readSettings<OursSettings>()
const app = Fastify({ logger: false })
const runs = new Runs()
let lastPostAt = 0

if (watch) app.addHook('preValidation', async () => { lastPostAt = now() })
await app.register(fastifyBitrix24, plugin)
// An empty handler reads nothing: the signal is made for who reads it.
app.bitrix24.on('onCrmDynamicItemUpdate', handlerMs === 0
  ? ({ coalesced }, { portal }) => runs.add(portal.memberId, coalesced)
  : async ({ coalesced }, { portal, signal }) => {
    runs.add(portal.memberId, coalesced)
    await pause(handlerMs, undefined, { signal })
  })

const origin = await app.listen({ port: 0, host: '127.0.0.1' })
serveParent({ origin }, async ({ collect = false, close = false }: OursQuestion): Promise<OursReport> => {
  if (close) await app.close()
  if (collect) collectGarbage()
  return { cpuMicros: cpuMicros(), heapBytes: process.memoryUsage().heapUsed, runs: runs.report(), lastPostAt }
})

function collectGarbage (): void {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}

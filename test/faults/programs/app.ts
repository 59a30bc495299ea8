import { openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import { Cluster } from 'ioredis'
import fastifyBitrix24, { type FastifyBitrix24Options } from '../../../src/index.ts'

// An app as a program, to be killed. FAULT_APP has its settings; it prints where it listens, and ends with its stdin.

export interface AppSettings {
  /** JSON alone. */
  bitrix24: FastifyBitrix24Options
  /** Ports of a Redis Cluster on loopback, which cannot be told in JSON as an option. */
  clusterPorts?: number[]
  /** Events that it listens to beside those of every version of it. */
  alsoListensTo?: OrderEvent[]
  port: number
  /** File that every handler writes a line to before and after its work. */
  journal: string
}

/** Events of its handlers: each update of a deal or a contact is handled for itself, updates of a lead are coalesced. */
export type OrderEvent = 'onCrmDealUpdate' | 'onCrmLeadUpdate' | 'onCrmContactUpdate'

/** What a handler is told to do, as the fields of its event. */
export interface Order {
  /** The deal or lead: handlers of one are never to run at once. */
  ID: number
  /** Tells the posts apart. */
  N: string
  /** How long to work. */
  MS?: string
  WHAT?: 'hang' | 'throw' | 'throw once'
}

/** One line of the journal. */
export interface JournalLine {
  what: 'begin' | 'end' | 'failed'
  /** Tells the runs of one process apart. */
  run: number
  pid: number
  n: number
  /** Id that the plugin gave to the event. */
  event: string
  /** `<member id>/<event>/<ID>` */
  item: string
  attempt: number
  /** ms on a clock that all processes share and nobody sets. */
  at: number
}

const settings = JSON.parse(process.env['FAULT_APP'] as string) as AppSettings
// Appended by the system, at once: what was written stays written, however the process ends.
const journal = openSync(settings.journal, 'a')
let runs = 0

const app = Fastify({ forceCloseConnections: true, logger: { level: 'warn', stream: process.stderr } })
const { bitrix24: options, clusterPorts, alsoListensTo = [] } = settings
const cluster = clusterPorts && new Cluster(clusterPorts.map(port => ({ host: '127.0.0.1', port })))
await app.register(fastifyBitrix24, { ...options, ...(cluster && { redis: cluster }) })
app.addHook('onClose', () => cluster?.disconnect())

for (const name of ['onCrmDealUpdate', ...alsoListensTo] as const) app.bitrix24.on(name, handle, { coalesce: false })
app.bitrix24.on('onCrmLeadUpdate', handle)

app.bitrix24.addHook('onQuota', ({ memberId }) => { app.log.warn(`onQuota: ${memberId}`) })

app.get('/health', async () => await app.bitrix24.health())
app.get('/dead-letters', async () => await app.bitrix24.deadLetters.list())

process.once('SIGTERM', async () => await app.close())
process.stdin.once('end', () => process.exit(1)).resume().unref()
await app.listen({ port: settings.port, host: '127.0.0.1' })
console.log(app.listeningOrigin)

interface Told {
  id: string
  name: string
  attempt: number
  data: { FIELDS: unknown }
}

async function handle ({ id, name, attempt, data }: Told, { portal, signal }: { portal: { memberId: string }, signal: AbortSignal }): Promise<void> {
  const order = data.FIELDS as Order
  const run = { run: runs++, pid: process.pid, n: Number(order.N), event: id, item: `${portal.memberId}/${name}/${order.ID}`, attempt }
  write({ ...run, what: 'begin' })
  try {
    await obey(order, attempt, signal)
  } catch (error) {
    write({ ...run, what: 'failed' })
    throw error
  }
  write({ ...run, what: 'end' })
}

async function obey ({ MS = '0', WHAT }: Order, attempt: number, signal: AbortSignal): Promise<void> {
  if (WHAT === 'hang') await new Promise(() => {})
  if (WHAT === 'throw' || (WHAT === 'throw once' && attempt === 1)) throw new Error('told to fail')
  if (MS !== '0') await sleep(Number(MS), undefined, { signal })
}

function write (line: Omit<JournalLine, 'at'>): void {
  writeSync(journal, `${JSON.stringify({ ...line, at: Number(process.hrtime.bigint() / 1000n) / 1000 })}\n`)
}

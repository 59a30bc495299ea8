import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { EventQueue } from '../../../src/storage/event-queue.ts'
import { openSqliteStorage } from '../../../src/storage/sqlite/storage.ts'
import { storageSettings } from '../../helpers/test-storage.ts'
import { sampleInstall } from '../../../src/testing/install-store-contract.ts'

// Another process on one file: it says 'ready', waits for a line, and reports one JSON a line.
const [task, dataDir, settingsJson] = process.argv.slice(2) as [string, string, string]
const settings = { attempts: 3, backoffMs: 10, stalledAfterMs: 30_000, onError: (error: Error) => { say({ error: String(error.cause) }) }, ...JSON.parse(settingsJson) }
const events = { attempts: settings.attempts, deadLetters: { maxAgeMs: 3_600_000, maxCount: 1_000, maxBytes: 1e9 }, maxWaitingBytes: undefined }
const storage = await openSqliteStorage(dataDir, storageSettings('app', { events }))
const queue = new EventQueue(storage.events, settings)
setInterval(() => {}, 1_000)

const TASKS: Record<string, () => Promise<void>> = {
  async add () {
    for (;;) {
      await Promise.all(Array.from({ length: 8 }, async () => {
        const id = randomUUID()
        await queue.add({ id, memberId: `p${id[0]}`, code: 'A', receivedAt: 1, key: id[1]!, payload: 1 })
        say({ added: id })
      }))
    }
  },
  async work () {
    queue.work(async run => {
      const { id, payload } = run.event as { id: string, payload: unknown }
      say({ began: id, attempt: run.attempt })
      if (payload === 'kill') process.kill(process.pid, 'SIGKILL')
      if (payload === 'hang') await once(run.signal, 'abort').catch(() => {})
      return { status: 'done' }
    }, { concurrency: 4, onDead: ({ id }) => say({ dead: id }) })
    await new Promise(() => {})
  },
  /** Swaps one record against whoever does the same; says which versions it won. */
  async race () {
    const won: number[] = []
    for (let version = 0; version < 50; version = (await storage.installs.get('shared'))?.version ?? 0) {
      if (await storage.installs.swap('shared', version, sampleInstall('shared'))) won.push(version)
    }
    say({ won })
  }
}

say('ready')
await once(process.stdin, 'data')
await TASKS[task]!()
await storage.close()
process.exit()

function say (line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

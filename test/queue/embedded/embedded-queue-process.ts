import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { EmbeddedFolder } from '../../../src/queue/embedded/embedded-folder.ts'
import { openEmbeddedQueue } from '../../../src/queue/embedded/embedded-queue.ts'
import type { Outcome, QueuedEvent, QueueSettings, Run } from '../../../src/queue/queue.ts'
import { until } from '../../helpers/until.ts'

// A second process on one folder: `add`, `work`, `lock`, `open` or `fill`. It reports one JSON a line.
const [task, dataDir, app, over = '{}'] = process.argv.slice(2) as [string, string, string, string?]
const settings: QueueSettings = {
  attempts: 3,
  backoffMs: 10,
  stalledAfterMs: 60_000,
  deadLetters: { maxAgeMs: 3_600_000, maxCount: 1_000 },
  onError: error => say({ onError: (error as NodeJS.ErrnoException).code }),
  ...JSON.parse(over) as Partial<QueueSettings>
}

const TASKS: Record<string, () => Promise<void>> = {
  /** Adds until it is killed, and says what is stored. */
  async add () {
    const queue = await openEmbeddedQueue(dataDir, app, settings)
    await Promise.all(Array.from({ length: 8 }, async (_, n) => {
      for (let i = 0; ; i++) {
        await queue.add(newEvent(`${n}-${i}`))
        say({ added: `${n}-${i}` })
      }
    }))
  },

  /** Works until its input ends. */
  async work () {
    const queue = await openEmbeddedQueue(dataDir, app, settings)
    queue.work(handle, { concurrency: 4, onDead: ({ id }) => say({ dead: id }) })
    await once(process.stdin.resume(), 'end')
    await queue.close(1_000)
  },

  /** Keeps the write lock of the folder, and stands still. */
  async lock () {
    const { commits } = await EmbeddedFolder.open(dataDir, app)
    await commits.write(() => {
      say('locked')
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4_500)
    })
  },

  /** Opens while the disk is full, and when there is space again. */
  async open () {
    limitFiles('10000:')
    await openEmbeddedQueue(dataDir, app, settings).catch(error => say(error.code))
    limitFiles('unlimited:')
    const queue = await openEmbeddedQueue(dataDir, app, settings)
    await queue.add(newEvent('1'))
    say('stored')
  },

  /** Adds and handles while the disk is full, and when there is space again. */
  async fill () {
    const queue = await openEmbeddedQueue(dataDir, app, settings)
    const [stored, refused, handled] = [[], [], []] as [string[], unknown[], string[]]
    let isFull = true
    queue.work(async ({ event }) => {
      if (isFull) await until(() => !isFull, 'the disk has been full')
      handled.push((event as QueuedEvent).id)
      return { status: 'done' }
    }, { concurrency: 2, onDead: ({ id }) => say({ dead: id }) })
    const add = async (id: string, size: number) => await queue.add(newEvent(id, 'x'.repeat(size))).then(() => stored.push(id), error => refused.push([error.code, error.cause?.message]))
    await add('before', 1)
    limitFiles('600000:')
    for (let i = 0; refused.length === 0; i++) await Promise.all(Array.from({ length: 10 }, async (_, n) => await add(`${i}-${n}`, 4_000)))
    isFull = false
    await add('large', 500_000)
    limitFiles('unlimited:')
    await add('after', 500_000)
    await until(async () => (await queue.counts()).waiting === 0, 'all is handled')
    await queue.close(1_000)
    say({ stored, handled, refused })
  }
}

await TASKS[task]?.()
process.exit()

async function handle (run: Run): Promise<Outcome> {
  const { id, payload } = run.event as QueuedEvent
  say({ began: id, attempt: run.attempt })
  if (payload === 'kill') process.kill(process.pid, 'SIGKILL')
  if (payload !== 'hang' || run.attempt > 1) return { status: 'done' }
  await once(run.signal, 'abort')
  say({ aborted: id, reason: run.signal.reason.code, saved: await run.save('late').then(() => true, error => error.code) })
  return { status: 'done' }
}

function newEvent (id: string, payload?: unknown): QueuedEvent {
  return { id, memberId: `portal-${id.length}`, code: 'ONCRMDEALUPDATE', receivedAt: Date.now(), payload }
}

/** Sets how large a file of this process may grow, bytes: for a write, the limit is a full disk. Linux only. */
function limitFiles (size: string): void {
  const { status, error } = spawnSync('prlimit', ['--pid', String(process.pid), `--fsize=${size}`])
  if (status !== 0) throw error ?? new Error(`prlimit ended with status ${status}`)
}

function say (line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

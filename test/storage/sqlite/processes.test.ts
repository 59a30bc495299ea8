import { once } from 'node:events'
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { EventQueue } from '../../../src/storage/event-queue.ts'
import type { QueuedEvent } from '../../../src/storage/queued-event.ts'
import { openSqliteStorage } from '../../../src/storage/sqlite/storage.ts'
import { temporaryFolder } from '../../helpers/app.ts'
import { startProgram } from '../../helpers/program.ts'
import { storageSettings } from '../../helpers/test-storage.ts'
import { until } from '../../helpers/until.ts'
import { UNAVAILABLE } from './database.ts'

t.setTimeout(300_000)

const PROGRAM = 'test/storage/sqlite/process.ts'
const EVENTS = { attempts: 3, deadLetters: { maxAgeMs: 3_600_000, maxCount: 1_000, maxBytes: 1e9 }, maxWaitingBytes: undefined }
const SETTINGS = { attempts: 3, backoffMs: 10, stalledAfterMs: 1_000 }

interface Line { added?: string, began?: string, attempt?: number, dead?: string, won?: number[], error?: string, [name: string]: unknown }

/** Another process on the file, ready. */
async function startOther (t: Test, task: string, dataDir: string, settings = {}) {
  const child = startProgram(PROGRAM, [task, dataDir, JSON.stringify({ ...SETTINGS, ...settings })])
  return await attach(t, child)
}

async function attach (t: Test, child: ChildProcessWithoutNullStreams) {
  t.teardown(() => child.kill('SIGKILL'))
  const lines: Line[] = []
  const texts: string[] = []
  const exited = once(child, 'exit').then(([status]) => status as number | null)
  child.stderr.on('data', data => texts.push(String(data)))
  createInterface({ input: child.stdout }).on('line', line => lines.push(JSON.parse(line)))
  await until(() => lines.length > 0, `it is ready: ${texts.join('')}`)
  return { child, lines, exited, go: () => child.stdin.write('\n'), said: <K extends keyof Line>(name: K) => lines.flatMap(line => line[name] ?? []) }
}

async function open (t: Test, dataDir: string) {
  const storage = await openSqliteStorage(dataDir, storageSettings('app', { events: EVENTS }))
  const errors: Error[] = []
  const queue = new EventQueue(storage.events, { ...SETTINGS, onError: error => errors.push(error) })
  t.teardown(async () => {
    await queue.close(100)
    await storage.close()
  })
  return { storage, queue, errors }
}

const newEvent = (id: string, over: Partial<QueuedEvent> = {}): QueuedEvent => ({ id, memberId: 'p', code: 'A', receivedAt: 1, payload: 1, ...over })

t.test('loses nothing that was added when processes are killed, and runs nothing of one key twice at once', async t => {
  const dataDir = temporaryFolder(t)
  const others = await Promise.all(['add', 'add', 'work', 'work'].map(task => startOther(t, task, dataDir, { attempts: 50 })))
  for (const { go } of others) go()
  await until(() => others[0]!.said('added').length > 100 && others[2]!.said('began').length > 50, 'they are at work')
  for (const i of [2, 0]) others[i]!.child.kill('SIGKILL')
  const again = await startOther(t, 'work', dataDir, { attempts: 50 })
  again.go()
  await sleep(300)
  others[1]!.child.kill('SIGKILL')
  await others[1]!.exited
  const { queue } = await open(t, dataDir)
  await until(async () => {
    const { waiting, active } = await queue.counts()
    return waiting + active === 0
  }, 'all is handled', 60_000)
  const began = new Set([...others, again].flatMap(({ said }) => said('began')))
  t.strictSame(others.flatMap(({ said }) => said('added')).filter(id => !began.has(id)), [])
  t.strictSame(await queue.counts(), { waiting: 0, active: 0, dead: 0 })
})

t.test('makes a dead letter of an event that kills each process', async t => {
  const dataDir = temporaryFolder(t)
  const { queue, storage } = await open(t, dataDir)
  await queue.add(newEvent('killer', { payload: 'kill' }))
  for (const attempt of [1, 2, 3]) {
    const other = await startOther(t, 'work', dataDir)
    other.go()
    await other.exited
    t.match(other.lines.filter(({ began }) => began !== undefined), [{ began: 'killer', attempt }])
  }
  const other = await startOther(t, 'work', dataDir)
  other.go()
  await until(() => other.said('dead').length === 1, 'it is dead')
  t.match(await storage.events.getDead('killer'), { attempts: 3, error: '{"message":"The process ended during the attempt"}' })
})

t.test('takes over from a worker that stands still', async t => {
  const dataDir = temporaryFolder(t)
  const { queue } = await open(t, dataDir)
  const other = await startOther(t, 'work', dataDir)
  other.go()
  await queue.add(newEvent('long', { payload: 'hang' }))
  await until(() => other.said('began').length === 1, 'it runs')
  const runs: number[] = []
  queue.work(async ({ attempt }) => {
    runs.push(attempt)
    return { status: 'done' }
  }, { concurrency: 4, onDead: () => {} })
  for (let stops = 0; runs.length === 0 && stops < 5; stops++) {
    // One that stands still in the middle of a write keeps all others out.
    other.child.kill('SIGSTOP')
    await until(() => runs.length === 1, 'it runs here', 4_000).catch(() => {})
    other.child.kill('SIGCONT')
  }
  t.strictSame(runs, [2])
})

t.test('a worker hears soon of what another process adds', async t => {
  const dataDir = temporaryFolder(t)
  const { queue } = await open(t, dataDir)
  const other = await startOther(t, 'work', dataDir, { stalledAfterMs: 30_000 })
  other.go()
  await queue.add(newEvent('first'))
  await until(() => other.said('began').length === 1, 'it works')
  const waits: number[] = []
  for (let i = 0; i < 5; i++) {
    await sleep(300)
    const added = performance.now()
    await queue.add(newEvent(`${i}`))
    await until(() => other.said('began').length === i + 2, 'it is handled')
    waits.push(performance.now() - added)
  }
  t.ok(waits.toSorted((a, b) => a - b)[2]! < 250, waits.join())
})

t.test('two processes of one id in two namespaces share the file', { skip: process.getuid?.() !== 0 && 'unshare needs root' }, async t => {
  const dataDir = temporaryFolder(t)
  const { queue } = await open(t, dataDir)
  const inside = async (task: string) => await attach(t, spawn('unshare', ['-pf', '--kill-child', '--mount-proc', process.execPath, '--import', join(process.cwd(), 'node_modules/tsx/dist/loader.mjs'), PROGRAM, task, dataDir, JSON.stringify(SETTINGS)],
    { env: { ...process.env, TSX_TSCONFIG_PATH: join(process.cwd(), 'tsconfig.json') } }))
  const workers = [await inside('work'), await inside('work')]
  for (const { go } of workers) go()
  for (let i = 0; i < 200; i++) await queue.add(newEvent(`${i}`, { memberId: `p${i % 20}` }))
  await until(async () => (await queue.counts()).waiting === 0 && workers.flatMap(({ said }) => said('began')).length >= 200, 'all is handled')
  const began = workers.map(({ said }) => said('began'))
  t.equal(new Set(began.flat()).size, 200)
  t.equal(began.flat().length, 200)
  t.comment(`one pid in two namespaces: sent 200, handled by each ${began.map(({ length }) => length).join(' and ')}, lost ${200 - new Set(began.flat()).size}`)
  t.ok(began.every(({ length }) => length > 20))
  await queue.add(newEvent('long', { payload: 'hang' }))
  await until(() => workers.some(({ said }) => said('began').includes('long')), 'it runs')
  const [dies, lives] = workers[0]!.said('began').includes('long') ? [workers[0]!, workers[1]!] : [workers[1]!, workers[0]!]
  dies.child.kill('SIGKILL')
  await until(() => lives.lines.some(({ began, attempt }) => began === 'long' && attempt === 2), 'the other takes over')
})

t.test('of two processes each version of a record has one winner', async t => {
  const dataDir = temporaryFolder(t)
  const others = [await startOther(t, 'race', dataDir), await startOther(t, 'race', dataDir)]
  for (const { go } of others) go()
  await Promise.all(others.map(({ exited }) => exited))
  const won = others.flatMap(({ lines }) => lines.flatMap(({ won }) => won ?? []))
  t.strictSame(won.toSorted((a, b) => a - b), Array.from({ length: 50 }, (_, version) => version))
})

t.test('the worker says so once when the folder is gone, and goes on when it is back', async t => {
  const dataDir = temporaryFolder(t)
  const { queue, errors } = await open(t, dataDir)
  const seen: string[] = []
  queue.work(async ({ event }) => {
    seen.push((event as QueuedEvent).id)
    return { status: 'done' }
  }, { concurrency: 4, onDead: () => {} })
  await queue.add(newEvent('1'))
  await until(() => seen.length === 1, 'it is handled')
  renameSync(join(dataDir, 'app'), join(dataDir, 'away'))
  await t.rejects(queue.add(newEvent('2')), UNAVAILABLE)
  await until(() => errors.length > 0, 'it is reported')
  renameSync(join(dataDir, 'away'), join(dataDir, 'app'))
  await queue.add(newEvent('3'))
  await until(() => seen.includes('3'), 'it goes on')
  t.strictSame(seen, ['1', '3'])
})

t.test('does not open where the folder cannot be made', async t => {
  const dataDir = t.testdir({ file: '', taken: { app: '' } })
  for (const folder of ['/proc/nowhere', join(dataDir, 'file'), join(dataDir, 'taken')]) await t.rejects(open(t, folder), UNAVAILABLE, folder)
})

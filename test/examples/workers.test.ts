import t, { type Test } from 'tap'
import { appId } from '../../src/storage/redis/keys.ts'
import { temporaryFolder } from '../helpers/app.ts'
import { startProgram } from '../helpers/program.ts'
import { freePort, startRedis } from '../helpers/redis-server.ts'
import { openTestStorage } from '../helpers/test-storage.ts'
import { until } from '../helpers/until.ts'

t.setTimeout(120_000)

/** What the simulated portals do, one after another, as the handlers print it. */
const DOMAINS = ['acme.bitrix24.com', 'globex.bitrix24.eu', 'initech.bitrix24.de']
const WORK: ReadonlyArray<(id: number) => string> = [
  id => `onCrmDynamicItemAdd { ID: ${id}, ENTITY_TYPE_ID: 1220 }`,
  id => `onCrmDealAdd { ID: ${id} }`,
  id => `onCrmDynamicItemUpdate { ID: ${id}, ENTITY_TYPE_ID: 1220 }`,
  id => `onCrmDealUpdate { ID: ${id} }`,
  id => `onCrmDynamicItemAdd { ID: ${id}, ENTITY_TYPE_ID: 31 }`,
  id => `onCrmDynamicItemDelete { ID: ${id}, ENTITY_TYPE_ID: 1220 }`
]

/** A program of the example, and what it printed. */
function start (t: Test, file: string, env: Record<string, string | undefined>) {
  const child = startProgram(file, [], { cwd: temporaryFolder(t), env })
  t.teardown(() => child.kill('SIGKILL'))
  const program = { child, text: '', handled: (): string[] => program.text.match(/^\S+ {2}onCrm\w+ \{.*?\}/gm) ?? [] }
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => { program.text += chunk.toString() })
  const ended = new Promise<number | null>(resolve => child.once('exit', resolve))
  return Object.assign(program, { stop: async () => { child.kill('SIGTERM'); return await ended } })
}

type Program = ReturnType<typeof start>

/** Where the programs meet. */
async function environment (redis: { url: string }): Promise<Record<string, string>> {
  return { REDIS_URL: redis.url, PORT: String(await freePort()), SIMULATOR_PORT: String(await freePort()) }
}

t.test('a server and two workers share the events, and stopping one loses nothing', { timeout: 120_000 }, async t => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const env = await environment(redis)
  const workers = [start(t, 'examples/worker.ts', env), start(t, 'examples/worker.ts', env)] as const
  for (const worker of workers) await until(() => worker.text.includes('waits for events'), 'a worker that waits')
  const server = start(t, 'examples/demo.ts', env)
  const all = [server, ...workers]
  await until(() => all.every(program => program.handled().length > 0), 'each handles something', 60_000)

  t.equal(await workers[0].stop(), 0)
  const countOfOthers = () => server.handled().length + workers[1].handled().length
  const before = countOfOthers()
  await until(() => countOfOthers() > before + 3, 'the others go on', 60_000)
  await handleAll(t, server, all)
  t.equal(await workers[1].stop(), 0)

  const storage = await openTestStorage(t, { redis: redis.url }, appId('local.simulated'))
  t.strictSame(await storage.events.counts(), { waiting: 0, active: 0, dead: 0 }, 'nothing is left')
})

t.test('a server that only receives handles nothing itself', { timeout: 120_000 }, async t => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const env = await environment(redis)
  const server = start(t, 'examples/demo.ts', { ...env, WORKER: 'no' })
  await until(() => server.text.includes('portals install the app'), 'the portals work', 60_000)
  const worker = start(t, 'examples/worker.ts', env)
  await until(() => worker.handled().length > 5, 'the worker handles', 60_000)
  await handleAll(t, server, [server, worker])
  t.equal(await worker.stop(), 0)
  for (const domain of DOMAINS) t.match(worker.text, `${domain}  installed the app`)
  t.notMatch(server.text, /^\S+ {2}/m, 'the server prints no event')
})

/** Stops the server, which waits until all that it stored is handled, and compares what was printed with what happened at the portals. */
async function handleAll (t: Test, server: Program, all: Program[]): Promise<void> {
  t.equal(await server.stop(), 0)
  t.notMatch(server.text, 'Not all of them are handled')
  const stored = Number(/^(\d+) events were answered 200/m.exec(server.text)?.[1])
  const handled = () => all.flatMap(program => program.handled())
  await until(() => handled().length >= stored, 'all is printed')
  const lines = handled()
  const happened = lines.map((_, i) => {
    const step = Math.floor(i / DOMAINS.length)
    return `${DOMAINS[i % DOMAINS.length]}  ${WORK[step % WORK.length]!(1 + Math.floor(step / WORK.length))}`
  })
  t.strictSame(lines.sort(), happened.sort(), 'each event is handled once')
  t.equal(lines.length, stored, 'as many as were stored')
}

import { join } from 'node:path'
import { Redis } from 'ioredis'
import Libsql from 'libsql'
import t from 'tap'
import { appId, appKeys } from '../../src/storage/redis/keys.ts'
import { temporaryFolder } from '../helpers/app.ts'
import { FaultRun, ownDeal, PLACES } from '../helpers/fault-run.ts'
import { freePort } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

const EVENTS = 100

t.jobs = 4
t.setTimeout(120_000)

for (const { name, storage } of PLACES) {
  t.test(`what only the new one of two versions listens to is handled by that one, ${name}`, { buffered: true }, async t => {
    const run = await FaultRun.open(t, storage(), { concurrency: 4, stalledAfterMs: 2_000 })
    const old = await run.startInstalled()
    const next = await run.start({ port: await freePort(), alsoListensTo: ['onCrmContactUpdate'] })
    // Both are at work, and both receive.
    const loads = [old, next].flatMap(program => (['onCrmDealUpdate', 'onCrmContactUpdate'] as const)
      .map(event => run.load(program, { event, concurrency: 2, pauseMs: 5, orderOf: n => ({ ...ownDeal(n), MS: '20' }) })))
    await until(() => run.posts.length >= 4 * EVENTS, 'it is under load')
    await Promise.all(loads.map(load => load.stop()))
    await run.waitForIdle(old)
    t.ok(run.posts.every(({ statusCode }) => statusCode === 200))
    const countOf = (event: string, { pid }: { pid: number }) => run.runs().filter(({ item, pid: by }) => by === pid && item.split('/')[1] === event).length
    const contacts = run.posts.filter(({ event }) => event === 'onCrmContactUpdate').length
    t.comment(`two versions, ${name}: deals handled by the old one ${countOf('onCrmDealUpdate', old)}, by the new one ${countOf('onCrmDealUpdate', next)}; of ${contacts} contacts by the new one ${countOf('onCrmContactUpdate', next)}`)
    run.judge(`two versions, ${name}`)
    t.ok(countOf('onCrmDealUpdate', old) > 0 && countOf('onCrmDealUpdate', next) > 0, 'both handle what both listen to')
    for (const program of [old, next]) t.match(await program.health(), { events: { unheard: 0 }, queue: { waiting: 0, active: 0, dead: 0 } })

    next.signal('SIGTERM')
    t.equal(await next.ended, 0)
    await run.load(old, { event: 'onCrmContactUpdate', concurrency: 5, orderOf: ownDeal }).stop()
    t.ok(run.posts.slice(-5).every(({ statusCode }) => statusCode === 200))
    await run.waitForIdle(old)
    t.match(await old.health(), { events: { unheard: 5 } }, 'what nobody listens to is counted')
    t.match(old.log(), /no handler listens to this event/)
  })

  t.test(`a process does not start on a storage of another layout, ${name}`, { buffered: true }, async t => {
    const place = storage()
    const dataDir = temporaryFolder(t)
    const run = await FaultRun.open(t, place === 'SQLite' ? { dataDir } : place)
    const running = await run.startInstalled()
    await (place === 'SQLite' ? changeFile(join(dataDir, appId(run.clientId), 'storage.db')) : changeRedis(appKeys(appId(run.clientId)).layout))
    const refused = await run.start({ port: await freePort() }).then(() => '', (error: Error) => error.message)
    t.match(refused, /ended with 1, .*FST_B24_STORAGE_LAYOUT/s)
    t.match(refused, /Storage has layout 99, .* use one version of the plugin per storage, or another storage for this app/s)
    t.equal((await run.post(running)).statusCode, 200, 'the one that runs goes on')
    await run.waitForIdle(running)
    run.judge(`another layout, ${name}`)
  })
}

function changeFile (file: string): void {
  const db = new Libsql(file)
  db.pragma('user_version = 99')
  db.close()
}

async function changeRedis (key: string): Promise<void> {
  const redis = new Redis(process.env['REDIS_URL'] as string)
  await redis.set(key, '99')
  redis.disconnect()
}

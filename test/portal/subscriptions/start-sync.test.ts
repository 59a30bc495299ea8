import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { isInSync } from '../../../src/portal/subscriptions/wanted-events.ts'
import { type StartFacts, startupMessage, StartSync, type StartSyncParts } from '../../../src/portal/subscriptions/start-sync.ts'
import type { FastifyBitrix24Options } from '../../../src/index.ts'
import { sampleInstall, waitForIdle } from '../../../src/testing/index.ts'
import { buildApp, buildWorld, temporaryFolder } from '../../helpers/app.ts'
import { until } from '../../helpers/until.ts'

const PUBLIC_URL = 'https://app.example.com'

const lineOf = (logs: readonly string[]) => logs.map(line => JSON.parse(line)).filter(({ msg }) => /^events: POST/.test(msg))

t.test('logs at startup what the app listens to and how many portals are out of sync', async t => {
  const dataDir = temporaryFolder(t)
  const { app, b24, options } = await buildWorld(t, { dataDir, publicUrl: PUBLIC_URL })
  app.bitrix24.on('onCrmDealUpdate', () => {})
  const portal = b24.portal('acme.bitrix24.com')
  await portal.install(`${app.listeningOrigin}/bitrix24/events`)
  await waitForIdle(app.bitrix24)
  await app.bitrix24.syncSubscriptions()
  await app.close()

  const again = async (names: string[], more: Partial<FastifyBitrix24Options> = {}) => {
    const next = await buildApp(t, { ...options, ...more })
    if (names.length > 0) next.app.bitrix24.on(names, () => {})
    await next.app.ready()
    await until(() => lineOf(next.logs).length > 0, 'the line')
    return { ...next, line: lineOf(next.logs)[0] }
  }
  const same = await again(['onCrmDealUpdate'])
  t.match(same.line, { level: 30, msg: /^events: POST \/bitrix24\/events, installs: POST \/bitrix24\/install; storage: dataDir .*; handlers listen to onCrmDealUpdate; subscribed portals: all 1$/, activePortals: 1, outOfSync: 0 })
  await same.app.close()

  const more = await again(['onCrmDealUpdate', 'onTaskAdd'])
  t.match(more.line, { level: 40, outOfSync: 1, msg: /1 of 1 portals are not subscribed to all events: set subscriptions\.sync to 'start'/ })
  await until(() => more.logs.some(line => /"level":20.*acme\.bitrix24\.com/.test(line)), 'names at debug')
  t.equal(lineOf(more.logs).length, 1)
  await more.app.close()

  const moved = await again(['onCrmDealUpdate'], { publicUrl: 'https://moved.example.com' })
  t.match(moved.line, { level: 40, outOfSync: 1 }, 'another address')
  await moved.app.close()

  const without = await again(['onCrmDealUpdate'], { publicUrl: undefined })
  t.match(without.line, { level: 30, msg: /publicUrl is not set, so no portal is subscribed: set it, or bind events with event\.bind$/ })
  await without.app.close()

  const receiver = await again([], { delivery: { worker: false } })
  t.match(receiver.line, { level: 30, msg: /this process only receives, handlers run in others$/ })
  await receiver.app.close()

  const start = await again(['onCrmDealUpdate', 'onTaskAdd'], { publicUrl: 'https://moved.example.com', subscriptions: { sync: 'start' } })
  t.match(start.line, { level: 30, outOfSync: 1, msg: /subscribing them now$/ })
  await until(() => start.logs.some(line => /portals subscribed at startup/.test(line)), 'it is subscribed')
  t.strictSame(portal.bindings.find({}).map(({ event, handler }) => `${event} ${handler}`).filter(line => !/ONAPPINSTALL|127/.test(line)).sort(), [
    'ONAPPUNINSTALL', 'ONAPPUPDATE', 'ONCRMDEALUPDATE', 'ONTASKADD'
  ].map(code => `${code} https://moved.example.com/bitrix24/events`), 'at the new address, and no more at the former')
  await start.app.close()
  portal.calls.length = 0
  const last = await again(['onCrmDealUpdate', 'onTaskAdd'], { publicUrl: 'https://moved.example.com', subscriptions: { sync: 'start' } })
  t.match(last.line, { outOfSync: 0 })
  await last.app.close()
  t.strictSame(portal.calls, [], 'nobody is asked who has it all')
})

function facts (more: Partial<StartFacts> = {}): StartFacts {
  return { routes: { events: '/e', install: '/i' }, storage: 's', codes: [], isWorker: true, hasPublicUrl: true, syncsNow: false, portals: undefined, ...more }
}

t.test('startup message', async t => {
  const codes = Array.from({ length: 12 }, (_, index) => `ONMINE${index}`)
  t.match(startupMessage(facts({ codes })).message, /listen to ONMINE0, .*ONMINE9 and 2 more$/)
  t.match(startupMessage(facts({ portals: { active: 0, outOfSync: 0, refusing: 0, examples: [] } })), { isWarning: false, message: /no events; no portal has installed the app yet$/ })
  t.match(startupMessage(facts({ portals: { active: 9, outOfSync: 0, refusing: 2, examples: [] } })).message, /all 9; 2 portals refused some events/)
})

function stage (t: Test, { portals = 250, ...more }: { portals?: number } & Partial<StartSyncParts> = {}) {
  const installs = Array.from({ length: portals }, (_, index) => sampleInstall(`m${index}`, { state: index % 10 === 9 ? 'uninstalled' : 'active' }))
  const tried: string[] = []
  const logs: unknown[][] = []
  const log = (...line: unknown[]) => { logs.push(line) }
  const taken = new Set<string>()
  const sync = new StartSync({
    store: { scan: async () => ({ installs }) },
    locks: {
      take: async name => {
        if (taken.has(name)) return undefined
        taken.add(name)
        return { renew: async () => true, release: async () => { taken.delete(name) } }
      }
    },
    log: { info: log, warn: log, debug: log },
    isInSync: install => isInSync(install, 'u', 'w'),
    subscribe: async ({ portal: { memberId } }) => {
      tried.push(memberId)
      installs.find(install => install.memberId === memberId)!.subscribed = { urls: ['u'], wanted: 'w' }
    },
    facts: () => facts({ syncsNow: true }),
    times: { lockRetryMs: 5, retriesMs: [5, 5] },
    ...more
  })
  t.teardown(() => sync.close())
  return { sync, tried, logs, installs, taken }
}

t.test('a sync at startup waits for other processes and calls only portals out of sync', async t => {
  const { sync, tried, installs, taken } = stage(t)
  installs[3]!.subscribed = { urls: ['u'], wanted: 'w' }
  installs[4]!.subscribed = { urls: ['u', 'former'], wanted: 'w' }
  taken.add('subscriptions-start')
  sync.start()
  await sleep(30)
  t.strictSame(tried, [])
  taken.delete('subscriptions-start')
  await until(() => tried.length === 224, 'all that differ')
  t.notOk(tried.includes('m3') || tried.includes('m9'))
  t.ok(tried.includes('m4'))
})

t.test('retries portals that did not respond, and stops on close', async t => {
  let fails = 0
  const { sync, logs } = stage(t, { portals: 3, subscribe: async () => { fails++; throw new Error('away') } })
  sync.start()
  await until(() => fails === 9, 'three rounds')
  await until(() => logs.filter(([, message]) => message === 'portals subscribed at startup').length === 3, 'each is told')
  const closing = stage(t, { times: { lockRetryMs: 60_000, retriesMs: [] } })
  closing.taken.add('subscriptions-start')
  closing.sync.start()
  await sleep(10)
  await closing.sync.close()
  t.strictSame(closing.tried, [])
  const broken = stage(t, { store: { scan: async () => { throw new Error('down') } }, facts: () => facts({ syncsNow: true }) })
  broken.sync.start()
  await until(() => broken.logs.some(([, message]) => message === 'failed to subscribe portals at startup'), 'it is reported')
})

import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { outcome, waitForIdle } from '../../../src/testing/index.ts'
import { buildWorld } from '../../helpers/app.ts'
import { secret } from '../../helpers/secrets.ts'
import { STORAGES } from '../../helpers/storages.ts'
import { until } from '../../helpers/until.ts'

const from = (ip: string) => ({ headers: { 'x-forwarded-for': ip } })
/** Places of one IPv4 address while others have none. */
const MAX_PER_ADDRESS = 72
/** An OAuth server that takes its time. */
const SLOW = { delayMs: 400 }

for (const { storage, options } of STORAGES) {
  t.test(`a flood of forged installs from one address, ${storage}`, { timeout: 120_000 }, async t => {
    const { app: { bitrix24 }, b24, eventsUrl } = await buildWorld(t, options(t), { trustProxy: true })
    const known = b24.portal('known.bitrix24.com')
    await known.install(eventsUrl, from('192.0.2.1'))
    await waitForIdle(bitrix24)
    const heard = new Set<number>()
    bitrix24.on('onCrmDealAdd', event => { heard.add(event.data.FIELDS.ID) })
    b24.fault('app.info', SLOW)

    const answers = new Map<string, number>()
    const ending = new AbortController()
    const flood = async (sender: number) => {
      const claimed = secret()
      for (let count = 0; !ending.signal.aborted; count++) {
        // Of one portal and token again and again, of many, and of the very portal that is to install next.
        const name = [`forged-${sender}`, `forged-${sender}-${count}`, 'new'][count % 3]
        const { statusCode, body } = await outcome(b24.portal(`${name}.bitrix24.com`).install(eventsUrl, {
          ...from('198.51.100.1'),
          auth: { application_token: count % 3 === 0 ? claimed : secret(), access_token: secret(), refresh_token: secret() }
        }))
        const answer = `${statusCode} ${/FST_\w+/.exec(body) ?? ''}`
        answers.set(answer, (answers.get(answer) ?? 0) + 1)
      }
    }
    const flooding = Array.from({ length: 4 }, (_, sender) => flood(sender))
    await until(() => (answers.get('503 FST_B24_INSTALL_BUSY') ?? 0) > 50, 'the flood is at its height')

    const fresh = b24.portal('new.bitrix24.com')
    const began = performance.now()
    t.equal((await fresh.install(eventsUrl, from('192.0.2.1'))).statusCode, 200)
    let [deals, mostWaiting, slowest] = [0, 0, 0]
    await until(async () => {
      const [ID, sent] = [++deals, performance.now()]
      t.equal((await known.send('onCrmDealAdd', { FIELDS: { ID } }, from('192.0.2.1'))).statusCode, 200)
      await until(() => heard.has(ID), 'the event of a portal that is installed is handled')
      slowest = Math.max(slowest, performance.now() - sent)
      const { queue } = await bitrix24.health()
      mostWaiting = Math.max(mostWaiting, queue!.waiting + queue!.active)
      await sleep(50)
      return (await bitrix24.portal(fresh.memberId))?.state === 'active'
    }, 'the genuine install is confirmed')
    const took = performance.now() - began
    ending.abort()
    await Promise.all(flooding)
    t.comment(`confirmed after ${Math.round(took)} ms; events handled within ${Math.round(slowest)} ms; at most ${mostWaiting} waited; ${JSON.stringify([...answers])}`)
    t.ok(took < 10_000, `${took} ms`)
    t.ok(slowest < 3_000, `${slowest} ms`)
    // The genuine install and an event of the other portal beside them.
    t.ok(mostWaiting <= MAX_PER_ADDRESS + 3, `${mostWaiting} waited`)
    t.strictSame([...answers.keys()].sort(), ['200 ', '503 FST_B24_INSTALL_BUSY'])
    b24.clearFaults()
    await waitForIdle(bitrix24, 30_000)
    t.match(await bitrix24.health(), { queue: { dead: 0 } })
    t.equal((await bitrix24.portal(fresh.memberId))?.state, 'active')
  })
}

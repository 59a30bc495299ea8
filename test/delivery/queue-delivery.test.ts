import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { DeadLetter, DeliveryOptions } from '../../src/index.ts'
import { waitForIdle } from '../../src/testing/index.ts'
import { buildApp, buildWorld } from '../helpers/app.ts'
import { STORAGES } from '../helpers/storages.ts'
import { until } from '../helpers/until.ts'

/** Holds handlers back until it is opened. */
function newLatch (): { opened: Promise<void>, open: () => void } {
  let open = (): void => {}
  const opened = new Promise<void>(resolve => { open = resolve })
  return { opened, open: () => open() }
}

const QUICK: DeliveryOptions = { backoffMs: 5, attempts: 3, stalledAfterMs: 2000 }

for (const { storage, options } of STORAGES) {
  t.test(`handlers after the answer, ${storage}`, { timeout: 120_000 }, async t => {
    const installedWorld = async (t: Test, delivery: DeliveryOptions = {}) => {
      const world = await buildWorld(t, { ...options(t), delivery: { ...QUICK, ...delivery } })
      const portal = world.b24.portal('acme.bitrix24.com')
      t.equal((await portal.install(world.eventsUrl)).statusCode, 200)
      await waitForIdle(world.app.bitrix24)
      const sendDeal = async (ID = 7) => (await portal.send('onCrmDealUpdate', { FIELDS: { ID } })).statusCode
      return { ...world, portal, sendDeal, bitrix24: world.app.bitrix24 }
    }

    t.test('an event is answered once stored, and handled afterwards', async t => {
      const { bitrix24, sendDeal, portal } = await installedWorld(t)
      const latch = newLatch()
      const seen: unknown[] = []
      bitrix24.on('onCrmDealUpdate', async (event, { portal }) => {
        await latch.opened
        seen.push({ deal: event.data.FIELDS.ID, portal: portal.memberId, attempt: event.attempt, coalesced: event.coalesced })
      })
      t.equal(await sendDeal(), 200)
      t.strictSame(seen, [])
      await until(async () => (await bitrix24.health()).queue?.active === 1, '1 active')
      latch.open()
      await waitForIdle(bitrix24)
      t.strictSame(seen, [{ deal: 7, portal: portal.memberId, attempt: 1, coalesced: 1 }])
      t.match(await bitrix24.health(), { store: 'ok', queue: { waiting: 0, active: 0, dead: 0 }, events: { accepted: 2, handled: 2, unavailable: 0 } })
    })

    t.test('the log of a failure contains the attempts and the time of the next one', async t => {
      const { bitrix24, sendDeal, logs } = await installedWorld(t)
      bitrix24.on('onCrmDealUpdate', async () => { throw new Error('never') })
      t.equal(await sendDeal(), 200)
      await waitForIdle(bitrix24)
      const reported = logs.filter(line => line.includes('handler failed')).map(line => JSON.parse(line)).map(({ attempt, attempts, retryWithinMs }) => ({ attempt, attempts, retryWithinMs }))
      t.strictSame(reported, [
        { attempt: 1, attempts: 3, retryWithinMs: 5 },
        { attempt: 2, attempts: 3, retryWithinMs: 10 },
        { attempt: 3, attempts: 3, retryWithinMs: undefined }
      ])
    })

    t.test('a retry runs only the handlers that have not succeeded', async t => {
      const { bitrix24, sendDeal } = await installedWorld(t)
      const ran: string[] = []
      const ids = new Set<string>()
      bitrix24.on('onCrmDealUpdate', async () => { ran.push('first') })
      bitrix24.on('onCrmDealUpdate', async ({ id, attempt }) => {
        ran.push(`second, attempt ${attempt}`)
        ids.add(id)
        if (attempt < 3) throw new Error('not yet')
      })
      bitrix24.on('onCrmDealUpdate', async () => { ran.push('third') })
      t.equal(await sendDeal(), 200)
      await waitForIdle(bitrix24)
      t.strictSame(ran, ['first', 'second, attempt 1', 'third', 'second, attempt 2', 'second, attempt 3'])
      t.equal(ids.size, 1, 'the same event')
      t.match(await bitrix24.health(), { events: { handled: 2, failedAttempts: 2, dead: 0 } })
    })

    t.test('a handler that ignores its signal is awaited, and does not run concurrently with its retry', async t => {
      const { bitrix24, sendDeal } = await installedWorld(t, { handlerTimeoutMs: 400 })
      const went: string[] = []
      bitrix24.on('onCrmDealUpdate', async ({ attempt }, { signal }) => {
        went.push(`${attempt} begins`)
        if (attempt === 1) await sleep(600)
        went.push(`${attempt} ends, ${signal.aborted ? 'aborted' : 'in time'}`)
      })
      t.equal(await sendDeal(), 200)
      await waitForIdle(bitrix24)
      t.strictSame(went, ['1 begins', '1 ends, aborted', '2 begins', '2 ends, in time'])
      t.match(await bitrix24.health(), { events: { failedAttempts: 1, dead: 0 } }, 'it counts as failed all the same')
    })

    t.test('a handler that never ends is abandoned after twice its time limit', async t => {
      const { bitrix24, sendDeal } = await installedWorld(t, { handlerTimeoutMs: 100, attempts: 2 })
      const began: number[] = []
      bitrix24.on('onCrmDealUpdate', async () => {
        began.push(performance.now())
        await new Promise(() => {})
      })
      t.equal(await sendDeal(), 200)
      await until(async () => (await bitrix24.health()).queue?.dead === 1, '1 dead')
      const [first, second] = began as [number, number]
      t.ok(second - first > 190, `${second - first} ms`)
      t.match(await bitrix24.deadLetters.list(), { items: [{ attempts: 2, error: { code: 'FST_B24_HANDLER_TIMEOUT' } }] })
    })

    t.test('a dead letter is stored, listed, replayed and discarded', async t => {
      const { bitrix24, sendDeal, portal } = await installedWorld(t)
      const reported: DeadLetter[] = []
      bitrix24.addHook('onDeadLetter', ({ deadLetter }) => { reported.push(deadLetter) })
      let fails = true
      const handled: unknown[] = []
      const handle = async (event: { attempt: number, data: unknown }) => {
        if (fails) throw Object.assign(new Error('no disk'), { code: 'ENOSPC' })
        handled.push([event.attempt, event.data])
      }
      bitrix24.on('onCrmDealUpdate', event => handle(event))
      bitrix24.on('onCrmDealUpdate', async () => { if (fails) throw new Error('no luck') })
      t.equal(await sendDeal(1), 200)
      t.equal(await sendDeal(2), 200)
      await until(async () => (await bitrix24.health()).queue?.dead === 2, '2 dead')
      await until(() => reported.length === 2, 'both are reported')

      const { items, cursor } = await bitrix24.deadLetters.list({ event: 'onCrmDealUpdate', memberId: portal.memberId })
      t.equal(cursor, undefined)
      t.strictSame(items.map(({ id }) => id).sort(), reported.map(({ id }) => id).sort())
      t.match(items[0], {
        memberId: portal.memberId,
        name: 'onCrmDealUpdate',
        code: 'ONCRMDEALUPDATE',
        attempts: 3,
        coalesced: 1,
        error: { message: '2 handlers failed: no disk; no luck' },
        raw: { event: 'ONCRMDEALUPDATE', data: { FIELDS: { ID: /[12]/ } }, auth: { member_id: portal.memberId } }
      })
      t.notMatch(JSON.stringify(items), portal.applicationToken)
      t.strictSame((await bitrix24.deadLetters.list({ event: 'onCrmDealAdd' })).items, [])

      fails = false
      const [first, second] = items.map(({ id }) => id) as [string, string]
      t.equal(await bitrix24.deadLetters.replay(first), 1)
      await waitForIdle(bitrix24)
      t.equal(handled.length, 1)
      t.equal((handled[0] as unknown[])[0], 1, 'its attempts are reset')
      await t.rejects(bitrix24.deadLetters.replay(first), { code: 'FST_B24_NO_DEAD_LETTER', statusCode: 404 })
      t.equal(await bitrix24.deadLetters.discard(second), 1)
      await t.rejects(bitrix24.deadLetters.discard(second), { code: 'FST_B24_NO_DEAD_LETTER' })

      fails = true
      for (const ID of [3, 4, 5]) await sendDeal(ID)
      await until(async () => (await bitrix24.health()).queue?.dead === 3, '3 dead')
      fails = false
      t.equal(await bitrix24.deadLetters.replay({ memberId: 'another' }), 0)
      t.equal(await bitrix24.deadLetters.replay({ event: 'ONCRMDEALUPDATE' }), 3)
      await waitForIdle(bitrix24)
      t.equal(handled.length, 4)
      t.equal(await bitrix24.deadLetters.discard({}), 0)
    })

    t.test('replay of an event of a deleted portal is rejected', async t => {
      const { bitrix24, sendDeal, portal } = await installedWorld(t, { attempts: 1 })
      bitrix24.on('onCrmDealUpdate', async () => { throw new Error('no') })
      await sendDeal()
      await until(async () => (await bitrix24.health()).queue?.dead === 1, '1 dead')
      t.equal((await portal.uninstall()).statusCode, 200)
      await waitForIdle(bitrix24)
      const [deadLetter] = (await bitrix24.deadLetters.list()).items
      await t.rejects(bitrix24.deadLetters.replay(deadLetter!.id), { code: 'FST_B24_PORTAL_GONE', statusCode: 502 })
      t.equal(await bitrix24.deadLetters.replay({}), 0)
      t.equal(await bitrix24.deadLetters.discard({}), 1)
    })

    t.test('waiting repeats of one item are coalesced, unless a handler disables it', async t => {
      const { bitrix24, portal } = await installedWorld(t, { concurrency: 2 })
      const latch = newLatch()
      const runs: Array<[name: string, coalesced: number]> = []
      const handle = async ({ name, coalesced }: { name: string, coalesced: number }) => {
        await latch.opened
        runs.push([name, coalesced])
      }
      bitrix24.on('onCrmDealUpdate', event => handle(event))
      bitrix24.on('onCrmLeadUpdate', event => handle(event), { coalesce: false })
      for (const event of ['onCrmDealUpdate', 'onCrmLeadUpdate']) {
        for (let count = 0; count < 5; count++) t.equal((await portal.send(event, { FIELDS: { ID: 1 } })).statusCode, 200)
      }
      latch.open()
      await waitForIdle(bitrix24)
      t.equal(runs.filter(([name]) => name === 'onCrmLeadUpdate').length, 5)
      const deals = runs.filter(([name]) => name === 'onCrmDealUpdate')
      t.ok(deals.length <= 2, `${deals.length} runs`)
      t.equal(deals.reduce((sum, [, coalesced]) => sum + coalesced, 0), 5)
    })

    t.test('one process receives, another one handles', async t => {
      const { options, b24, bitrix24 } = await installedWorld(t)
      const receiver = await buildApp(t, { ...options, delivery: { ...QUICK, worker: false } })
      await receiver.app.listen({ port: 0, host: '127.0.0.1' })
      const heard: number[] = []
      bitrix24.on('onCrmDealUpdate', event => { heard.push(event.data.FIELDS.ID) })
      const portal = b24.portal('acme.bitrix24.com')
      for (const ID of [1, 2, 3]) {
        const { statusCode } = await portal.send('onCrmDealUpdate', { FIELDS: { ID } }, { url: `${receiver.app.listeningOrigin}/bitrix24/events` })
        t.equal(statusCode, 200)
      }
      await waitForIdle(bitrix24)
      t.strictSame(heard.sort(), [1, 2, 3])
    })

    t.test('closing returns running events to the queue, and another process handles them', async t => {
      const { app, options, bitrix24, sendDeal } = await installedWorld(t, { closeTimeoutMs: 50 })
      let [began, reason]: [boolean, unknown] = [false, undefined]
      bitrix24.on('onCrmDealUpdate', async (_event, { signal }) => {
        began = true
        await once(signal, 'abort')
        reason = signal.reason
        throw signal.reason
      })
      t.equal(await sendDeal(), 200)
      await until(() => began, 'it has begun')
      await app.close()
      t.match(reason, { code: 'FST_B24_CLOSING' })
      const next = await buildApp(t, options)
      const heard: unknown[] = []
      next.app.bitrix24.on('onCrmDealUpdate', event => { heard.push(event.attempt) })
      await next.app.ready()
      await waitForIdle(next.app.bitrix24)
      t.strictSame(heard, [1], 'which was no attempt')
    })
  })
}

for (const { storage, options } of STORAGES) {
  t.test(`events of one key of a handler are handled in order of arrival, ${storage}`, async t => {
    const { app: { bitrix24 }, b24, eventsUrl } = await buildWorld(t, { ...options(t), delivery: { concurrency: 8 } })
    const portal = b24.portal('acme.bitrix24.com')
    await portal.install(eventsUrl)
    await waitForIdle(bitrix24)
    const seen: string[] = []
    bitrix24.on('onVoximplantCallEnd', async ({ data }) => {
      const { CALL_ID, CALL_DURATION } = data as { CALL_ID: string, CALL_DURATION: number }
      if (Number(CALL_DURATION) === 1) await sleep(100)
      seen.push(`${CALL_ID} ${CALL_DURATION}`)
    }, { key: event => event.data.CALL_ID })
    for (let number = 1; number <= 6; number++) {
      for (const CALL_ID of ['a', 'b']) t.equal((await portal.send('onVoximplantCallEnd', { CALL_ID, CALL_DURATION: number })).statusCode, 200)
    }
    await waitForIdle(bitrix24)
    for (const call of ['a', 'b']) t.strictSame(seen.filter(line => line.startsWith(call)), [1, 2, 3, 4, 5, 6].map(number => `${call} ${number}`))
  })
}

import { once } from 'node:events'
import type { FastifyServerOptions } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { DeliveryOptions } from '../../src/index.ts'
import { waitForIdle } from '../../src/testing/index.ts'
import { buildApp } from '../helpers/app.ts'
import { forgetApp } from '../helpers/redis-keys.ts'
import { secret } from '../helpers/secrets.ts'
import { STORAGES } from '../helpers/storages.ts'
import { until } from '../helpers/until.ts'
import { newLatch } from '../storage/contract/trial.ts'

for (const { storage, options } of STORAGES) {
  t.test(`the app closes, ${storage}`, async t => {
    /** An app whose handler reads from a database that a plugin opened, which was registered later and so is closed first. */
    const worldOf = async (t: Test, delivery: DeliveryOptions, server: FastifyServerOptions = {}) => {
      const [handler, request] = [newLatch(), newLatch()]
      const clientId = `local.${secret().slice(1, 20)}`
      const webhook = { memberId: 'acme', applicationToken: secret() }
      const given = { clientId, clientSecret: secret(), webhooks: [webhook], ...options(t), delivery }
      forgetApp(t, clientId)
      const { app, logs } = await buildApp(t, given, server, app => {
        app.addHook('preHandler', async ({ headers }) => { if (headers['x-slow'] === 'yes') await request.opened })
      })
      const database = { isOpen: true }
      app.addHook('onClose', async () => { database.isOpen = false })
      const seen: string[] = []
      let hasBegun = false
      app.bitrix24.on('onCrmDealAdd', async (_event, { signal }) => {
        hasBegun = true
        await handler.opened
        seen.push(`the database is ${database.isOpen ? 'open' : 'closed'}, the signal ${signal.aborted ? 'aborted' : 'quiet'}`)
      })
      app.bitrix24.addHook('onHandlerError', ({ error }) => { seen.push(error.message) })
      const post = async (headers = {}, event = 'ONCRMDEALADD') => {
        const auth = { member_id: 'acme', application_token: webhook.applicationToken }
        return (await app.inject({ method: 'POST', url: '/bitrix24/events', headers, payload: { event, data: { FIELDS: { ID: '1' } }, auth } })).statusCode
      }
      await app.ready()
      t.equal(await post(), 200)
      await until(() => hasBegun, 'it runs')
      return { app, logs, given, database, seen, post, handler, request }
    }

    t.test('handlers end before anything they use is closed; requests in progress are stored', async t => {
      const { app, given, database, seen, post, handler, request } = await worldOf(t, {})
      const slow = post({ 'x-slow': 'yes' })
      await sleep(50)
      const closing = app.close()
      await sleep(50)
      t.ok(database.isOpen)
      request.open()
      t.equal(await slow, 200)
      handler.open()
      await closing
      t.strictSame(seen, ['the database is open, the signal quiet'])
      t.notOk(database.isOpen)

      const next = await buildApp(t, given)
      const heard: number[] = []
      next.app.bitrix24.on('onCrmDealAdd', event => { heard.push(event.data.FIELDS.ID) })
      await next.app.ready()
      await waitForIdle(next.app.bitrix24)
      t.strictSame(heard, [1], 'by the next process')
    })

    t.test('a handler that needs longer than Fastify waits for a hook still has its time', async t => {
      const { app, seen, handler } = await worldOf(t, { closeTimeoutMs: 20_000 }, { pluginTimeout: 700 })
      const closing = app.close()
      await sleep(1_000)
      handler.open()
      await closing
      t.match(seen, [/the signal quiet$/])
    })

    t.test('a handler that did not start has not failed', async t => {
      const { app, seen, post, handler, logs } = await worldOf(t, { closeTimeoutMs: 100 })
      const began: string[] = []
      app.bitrix24.on('onCrmLeadAdd', async (_event, { signal }) => {
        began.push('first')
        await once(signal, 'abort')
      })
      app.bitrix24.on('onCrmLeadAdd', async () => { began.push('second') })
      app.bitrix24.on('onCrmLeadAdd', async () => { began.push('third') })
      t.equal(await post({}, 'ONCRMLEADADD'), 200)
      await until(() => began.length === 1, 'it runs')
      handler.open()
      await app.close()
      t.strictSame(began, ['first'])
      t.strictSame(seen, ['the database is open, the signal quiet'], 'and no hook ran')
      t.strictSame(logs.filter(line => /handler failed/.test(line)), [])
      t.match(await app.bitrix24.health(), { events: { failedAttempts: 0, handled: 1, dead: 0 } })
    })

    t.test('no limit of Fastify is no limit here', async t => {
      const { app, seen, handler } = await worldOf(t, {}, { pluginTimeout: 0 })
      const closing = app.close()
      await sleep(100)
      handler.open()
      await closing
      t.strictSame(seen, ['the database is open, the signal quiet'])
    })
  })
}

import Fastify from 'fastify'
import t from 'tap'
import fastifyBitrix24 from '../src/index.ts'
import { createSimulator, waitForIdle } from '../src/testing/index.ts'
import { temporaryFolder } from './helpers/app.ts'
import { endSimulator } from './helpers/end-simulator.ts'
import { secret } from './helpers/secrets.ts'
import { until } from './helpers/until.ts'

t.setTimeout(60_000)

t.test('without a logger, each kind of problem emits one process warning', async t => {
  const keys = { clientId: `local.${secret().slice(1, 20)}`, clientSecret: secret() }
  const b24 = await createSimulator(keys)
  t.teardown(() => endSimulator(b24))
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(() => app.close())
  const warnings: string[] = []
  const hear = (warning: Error & { code?: string }): void => { warnings.push(`${warning.code} ${warning.message}`) }
  process.on('warning', hear)
  t.teardown(() => { process.off('warning', hear) })
  await app.register(fastifyBitrix24, { ...keys, dataDir: temporaryFolder(t), oauthServers: [b24.oauthServer], allowPrivateNetworks: true, delivery: { attempts: 1 } })
  app.bitrix24.on('onTaskAdded', () => {})
  app.bitrix24.on('onTaskUpdatet', () => {})
  app.bitrix24.on('onTaskAdd', () => { throw new Error('of the app') })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const portal = b24.portal('acme.bitrix24.com')
  await portal.install(`${app.listeningOrigin}/bitrix24/events`)
  await waitForIdle(app.bitrix24)
  for (let i = 0; i < 2; i++) await portal.send('onTaskAdd', { FIELDS_AFTER: { ID: i + 1 } })
  await waitForIdle(app.bitrix24)
  await until(() => warnings.length >= 2, 'two warnings')
  t.equal(warnings.length, 2)
  t.match(warnings[0], /^FST_B24_WRN_EVENT unknown event 'onTaskAdded'/)
  t.match(warnings[1], /^FST_B24_WRN_HANDLER a handler failed: onTaskAdd: of the app/)
})

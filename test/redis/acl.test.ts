import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import t from 'tap'
import { waitForIdle } from '../../src/testing/index.ts'
import { buildWorld } from '../helpers/app.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { secret } from '../helpers/secrets.ts'
import { until } from '../helpers/until.ts'

t.test('a Redis user with the commands that README names is enough', async t => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const admin = new Redis(redis.url)
  t.teardown(() => admin.disconnect())
  const readme = readFileSync('README.md', 'utf8')
  const passage = /A Redis user of its own needs.*?these commands:(.*?)\.\s+`config/s.exec(readme)?.[1] ?? ''
  const commands = [...passage.matchAll(/`([a-z|]+)`/g)].map(([, command]) => `+${command}`)
  t.ok(commands.length > 40)
  const password = secret()
  for (const granted of [commands, commands.filter(command => command !== '+config|get')]) {
    await admin.call('ACL', 'SETUSER', 'app', 'reset', 'on', `>${password}`, '~b24:*', '&b24:*', ...granted)
    await admin.call('ACL', 'LOG', 'RESET')
    const { app, b24, eventsUrl } = await buildWorld(t, { redis: `redis://app:${password}@127.0.0.1:${redis.port}`, delivery: { attempts: 2, backoffMs: 10, concurrency: 2 } })
    let fails = true
    const heard: unknown[] = []
    app.bitrix24.on('onCrmDealUpdate', async (event, { portal }) => {
      await portal.call('profile')
      if (fails && event.data.FIELDS.ID === 7) throw new Error('no disk')
      heard.push(event.data.FIELDS.ID)
    })
    const portal = b24.portal('acme.bitrix24.com')
    await portal.install(eventsUrl)
    await waitForIdle(app.bitrix24)
    for (let i = 0; i < 20; i++) await portal.send('onCrmDealUpdate', { FIELDS: { ID: i % 4 } })
    await portal.send('onCrmDealUpdate', { FIELDS: { ID: 7 } })
    await until(async () => (await app.bitrix24.health()).queue?.dead === 1, 'a dead letter')
    fails = false
    const { items } = await app.bitrix24.deadLetters.list()
    await app.bitrix24.deadLetters.replay(items[0]!.id)
    await waitForIdle(app.bitrix24)
    t.equal(heard.at(-1), 7)
    await portal.uninstall()
    await waitForIdle(app.bitrix24)
    await app.close()
    const denied = (await admin.call('ACL', 'LOG') as unknown[][]).map(entry => String(entry[7] ?? '')).filter(command => !/^config/.test(command))
    t.strictSame(denied, [], 'no other was asked for')
  }
})

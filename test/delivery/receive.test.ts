import Fastify from 'fastify'
import t from 'tap'
import { FST_B24_STORE_UNAVAILABLE } from '../../src/errors.ts'
import { digestToken } from '../../src/installs/application-token.ts'
import { MAX_EVENTS_PER_PENDING_INSTALL } from '../../src/storage/pending-installs.ts'
import type { InstallStore } from '../../src/storage/install-store.ts'
import { sampleInstall } from '../../src/testing/index.ts'
import { bench, dealOf, installOf, runOf } from '../helpers/delivery-bench.ts'
import { secret } from '../helpers/secrets.ts'

/** Places of one IPv4 address while others have none. */
const MAX_PER_ADDRESS = 72

const sender = { log: Fastify().log, ip: '192.0.2.1' }

t.test('stores small unverified events and rejects large ones', async t => {
  const { delivery, b24, added, pendingInstalls } = await bench(t)
  const [{ envelope }, portal] = await installOf(b24)
  const long = { ...envelope, data: { VERSION: '\u6f22'.repeat(22_000) } }
  t.match(await delivery.receiver.receive(long, sender), { status: 'rejected', reason: 'too_large' })
  t.equal(await pendingInstalls.stateOf({ memberId: portal.memberId, token: digestToken(portal.applicationToken) }), 'closed')
  t.match(await delivery.receiver.receive(envelope, sender), { status: 'accepted', portal: undefined })
  const event = dealOf(portal.memberId, portal.applicationToken)
  t.match(await delivery.receiver.receive({ ...event, data: { FIELDS: { ID: 'x'.repeat(66_000) } } }, sender), { status: 'rejected', reason: 'unknown_portal' })
  t.match(await delivery.receiver.receive(event, sender), { status: 'accepted', portal: undefined })
  t.equal(added.length, 2)
  t.match(delivery.counts, { accepted: 2, rejected: 2 })
})

t.test('limits pending installs of one portal and of one sender', async t => {
  const { delivery, b24, added, pendingInstalls } = await bench(t)
  const [{ envelope }] = await installOf(b24)
  const install = (memberId: string, ip = sender.ip) => delivery.receiver.receive({ ...envelope, auth: { ...envelope.auth, member_id: memberId } }, { ...sender, ip })
  for (let count = 0; count < MAX_EVENTS_PER_PENDING_INSTALL; count++) await install('portal-0')
  await t.rejects(install('portal-0'), { code: 'FST_B24_INSTALL_BUSY' })
  for (let count = MAX_EVENTS_PER_PENDING_INSTALL; count < MAX_PER_ADDRESS; count++) await install(`portal-${count}`)
  await t.rejects(install('one-more'), { code: 'FST_B24_INSTALL_BUSY' })
  await install('one-more', '198.51.100.1')
  t.equal(added.length, MAX_PER_ADDRESS + 1)
  t.match(delivery.counts, { unavailable: 2 })
  for (const { id } of added.slice(0, 2)) await pendingInstalls.close({ memberId: 'portal-0', token: digestToken(envelope.auth.application_token!) }, id)
  await install('portal-0')
})

t.test('counts a forged install for its sender, not for the portal that it names', async t => {
  const { delivery, b24, added, store } = await bench(t)
  const [{ envelope }, portal] = await installOf(b24)
  await store.swap(portal.memberId, 0, { ...sampleInstall(portal.memberId), token: digestToken(portal.applicationToken) })
  const forged = { ...envelope, auth: { ...envelope.auth, application_token: secret() } }
  for (let count = 0; count < MAX_EVENTS_PER_PENDING_INSTALL; count++) await delivery.receiver.receive(forged, sender)
  await delivery.receiver.receive(dealOf(portal.memberId, forged.auth.application_token), { ...sender, ip: '2001:db8::1' })
  t.strictSame([...new Set(added.map(({ group }) => group))], [`? ${b24.oauthServer} 192.0.2.0/24`, '? 2001:db8:0::/48'])
  t.equal(added.filter(({ isPriority }) => isPriority).length, 5)
  t.ok(added.every(({ memberId }) => memberId === portal.memberId))
  await delivery.receiver.receive(envelope, sender)
  t.match(added.at(-1), { memberId: portal.memberId, group: undefined, isPriority: true }, 'which has its own places')
})

t.test('a quarantined event is not dropped if its install was answered with 503, stored or not', async t => {
  for (const isStored of [true, false]) {
    const { delivery, b24, queue, process, added } = await bench(t)
    const [{ envelope }, portal] = await installOf(b24)
    const { add } = queue
    queue.add = async (event) => {
      queue.add = add
      if (isStored) await add(event)
      t.match(await delivery.receiver.receive(dealOf(portal.memberId, portal.applicationToken), sender), { status: 'accepted' })
      throw new FST_B24_STORE_UNAVAILABLE()
    }
    await t.rejects(delivery.receiver.receive(envelope, sender), { code: 'FST_B24_STORE_UNAVAILABLE' })
    t.match(await process(runOf(added.at(-1))), { status: 'dead', error: { code: 'FST_B24_INSTALL_LOST' } }, 'it can be replayed')
  }
})

t.test('releases the slot of an install that could not be stored', async t => {
  const { delivery, b24, queue, pendingInstalls } = await bench(t)
  const [{ envelope }, portal] = await installOf(b24)
  queue.add = async () => { throw new FST_B24_STORE_UNAVAILABLE() }
  await t.rejects(delivery.receiver.receive(envelope, sender), { code: 'FST_B24_STORE_UNAVAILABLE' })
  t.equal(await pendingInstalls.stateOf({ memberId: portal.memberId, token: digestToken(portal.applicationToken) }), 'closed')
})

t.test('reads an install again that may have been verified meanwhile', async t => {
  const token = secret()
  const install = { ...sampleInstall('acme'), token: digestToken(token) }
  let reads = 0
  const store: InstallStore = {
    get: async () => ++reads === 1 ? undefined : { version: 1, install },
    swap: async () => true,
    scan: async () => ({ installs: [] })
  }
  const { delivery, added } = await bench(t, { store })
  t.match(await delivery.receiver.receive(dealOf('acme', token), sender), { status: 'accepted', portal: { memberId: 'acme' } })
  t.equal(reads, 2)
  t.match(added, [{ memberId: 'acme', key: 'deal:7', coalesce: true }])
})

t.test('an event that names an installed portal without its token does not order those of its items', async t => {
  for (const isInstalled of [true, false]) {
    const { delivery, added, store, b24 } = await bench(t)
    const [{ envelope }, portal] = await installOf(b24)
    if (isInstalled) await store.swap(portal.memberId, 0, { ...sampleInstall(portal.memberId), token: digestToken(portal.applicationToken) })
    const forged = { ...envelope, auth: { ...envelope.auth, application_token: secret() } }
    t.match(await delivery.receiver.receive(forged, sender), { status: 'accepted' })
    t.match(await delivery.receiver.receive(dealOf(portal.memberId, forged.auth.application_token), sender), { status: 'accepted' })
    t.equal(added.at(-1)?.key, isInstalled ? undefined : 'deal:7')
  }
})

t.test('gives lifecycle events priority, but not a flood of them', async t => {
  const { delivery, added, store, b24 } = await bench(t)
  const [{ envelope }, portal] = await installOf(b24)
  await store.swap(portal.memberId, 0, { ...sampleInstall(portal.memberId), token: digestToken(portal.applicationToken) })
  for (let count = 0; count < 8; count++) await delivery.receiver.receive(envelope, sender)
  t.equal(added.filter(({ isPriority }) => isPriority).length, 5)
  t.equal(added.length, 8)
})

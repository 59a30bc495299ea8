import type { LookupAddress } from 'node:dns'
import { createServer } from 'node:net'
import t from 'tap'
import { AddressGuard, isNetwork, publicLookup, type Resolve } from '../../../src/portal/rest/address-guard.ts'
import { openRestStage } from '../../helpers/rest-stage.ts'
import { transportOf } from '../../helpers/transport.ts'

const closed = new AddressGuard(false)
const open = new AddressGuard(true)

t.test('blocks all special-purpose addresses in every notation', async t => {
  const special = [
    '0.1.2.3', '10.0.0.1', '100.64.0.1', '127.0.0.1', '169.254.1.1', '172.16.0.1', '172.31.255.255', '192.0.0.9', '192.0.2.1', '192.31.196.1', '192.52.193.1',
    '192.88.99.1', '192.168.1.1', '192.175.48.1', '198.18.0.1', '198.19.255.255', '198.51.100.1', '203.0.113.1', '224.0.0.1', '240.0.0.1', '255.255.255.255',
    '168.63.129.16', '::', '::1', '::7f00:1', '::8.8.8.8', '::ffff:10.0.0.1', '::ffff:a00:1', '64:ff9b::10.0.0.1', '64:ff9b:1::1', '100::1', '2001::1', '2001:0:53aa:64c::1',
    '2001:2::1', '2001:db8::1', '2002:a00:1::', '2002:808:808::1', '2620:4f:8000::1', '3fff::1', '5f00::1', 'fc00::1', 'fd12::1', 'fe80::1', 'fe80::1%eth0', 'fec0::1',
    'ff02::1', '4000::1', 'no address', ''
  ]
  for (const address of special) {
    t.equal(closed.blocksIp(address), true, address)
    if (address.includes(':') && !address.includes('%')) t.equal(closed.blocksUrl(`https://[${address}]/rest/`), true, `[${address}]`)
  }
  for (const address of ['8.8.8.8', '172.32.0.1', '100.128.0.1', '192.0.1.1', '168.63.129.17', '2a00:1450::1', '2606:4700::1111', '::ffff:8.8.8.8', '64:ff9b::8.8.8.8']) {
    t.equal(closed.blocksIp(address), false, address)
  }
})

t.test('always blocks link-local addresses and metadata services', async t => {
  const never = [
    '169.254.169.254', '169.254.170.2', '168.63.129.16', '100.100.100.200', '192.0.0.192', 'fe80::1', 'fe80::a9fe:a9fe', 'fd00:ec2::254', 'fd20:ce::254', 'fd00:42::42',
    '::ffff:169.254.169.254', '::ffff:a9fe:a9fe', '::169.254.169.254', '64:ff9b::169.254.169.254', '2002:a9fe:a9fe::1'
  ]
  for (const guard of [open, new AddressGuard(['0.0.0.0/0', '::/0'])]) {
    for (const address of never) t.match([guard.blocksIp(address), guard.allowsPlainHttpTo(address)], [true, false], address)
    for (const name of ['metadata', 'metadata.google.internal', 'instance-data.ec2.internal']) t.ok(guard.blocksUrl(`http://${name}/rest/`), name)
  }
  for (const address of ['127.0.0.1', '10.0.0.1', '::1', 'fd12::1', '::ffff:127.0.0.1']) t.match([open.blocksIp(address), open.allowsPlainHttpTo(address)], [false, true], address)
  t.match([open.blocksIp('8.8.8.8'), open.allowsPlainHttpTo('8.8.8.8')], [false, false], 'a public address is not one of the own networks')
})

t.test('a list allows only the networks it names', async t => {
  const guard = new AddressGuard(['10.1.0.0/16', '192.168.1.7', 'fd12::/16'])
  for (const address of ['10.1.2.3', '192.168.1.7', 'fd12::9', '::ffff:10.1.2.3']) t.match([guard.blocksIp(address), guard.allowsPlainHttpTo(address)], [false, true], address)
  for (const address of ['10.2.0.1', '192.168.1.8', '127.0.0.1', '::1', 'fd13::1']) t.match([guard.blocksIp(address), guard.allowsPlainHttpTo(address)], [true, false], address)
  t.equal(guard.blocksUrl('https://box.lan/rest/'), false, 'what a name of the own networks resolves to, tells')
  t.equal(new AddressGuard([]).blocksUrl('https://box.lan/rest/'), true)
  t.strictSame([closed.allowsPlainHttp('http://127.0.0.1/'), open.allowsPlainHttp('http://127.0.0.1/'), open.allowsPlainHttp('http://box.example.ru/')], [false, true, undefined])
})

t.test('recognizes networks', async t => {
  for (const network of ['10.0.0.0/8', '10.0.0.1', '::1', 'fd00::/8', '0.0.0.0/0']) t.ok(isNetwork(network), network)
  for (const network of ['', '10.0.0.0/33', '10.0.0/8', 'fd00::/129', '10.0.0.0/', '10.0.0.0/8/8', 'box.lan', 'fe80::1%eth0', 1, null, undefined]) t.notOk(isNetwork(network), String(network))
})

const PUBLIC: LookupAddress = { address: '8.8.8.8', family: 4 }
const PUBLIC_6: LookupAddress = { address: '2a00:1450::1', family: 6 }
const LOOPBACK: LookupAddress = { address: '127.0.0.1', family: 4 }

/** Resolves to the given lists in turn. */
function resolving (...answers: Array<LookupAddress[] | Error>): Resolve {
  return (_host, _options, done) => {
    const answer = answers.length > 1 ? answers.shift() as LookupAddress[] : answers[0] as LookupAddress[] | Error
    if (answer instanceof Error) done(answer, [])
    else done(null, answer)
  }
}

type Found = { code: string | undefined, found: unknown }

function look (resolve: Resolve, all: boolean): Promise<Found> {
  return new Promise(_resolve => publicLookup(closed, resolve)('portal.example.com', { all, family: 0, hints: 0 }, (error, found) => _resolve({ code: error?.code, found })))
}

t.test('judges resolved addresses', async t => {
  const cases: Array<[address: string, isPrivate: boolean]> = [
    ['8.8.8.8', false], ['10.0.0.1', true], ['::1', true], ['2a00:1450::1', false], ['fe80::1%eth0', true], ['::ffff:127.0.0.1', true],
    ['::ffff:8.8.8.8', false], ['64:ff9b::808:808', false], ['64:ff9b::a00:1', true], ['64:ff9b::7f00:1', true], ['64:ff9b::', true],
    ['64:ff9b::1', true], ['64:ff9b::a9fe:a9fe', true], ['no address', true]
  ]
  for (const [address, isPrivate] of cases) t.equal(closed.blocksIp(address), isPrivate, address)
})

t.test('resolves only public addresses', async t => {
  t.strictSame(await look(resolving([LOOPBACK, PUBLIC, PUBLIC_6]), true), { code: undefined, found: [PUBLIC, PUBLIC_6] })
  t.strictSame(await look(resolving([LOOPBACK, PUBLIC]), false), { code: undefined, found: '8.8.8.8' })
  t.match(await look(resolving([LOOPBACK]), true), { code: 'FST_B24_PRIVATE_ADDRESS' })
  t.match(await look(resolving([]), false), { code: 'FST_B24_PRIVATE_ADDRESS' })
  t.match(await look(resolving(Object.assign(new Error(), { code: 'ENOTFOUND' })), true), { code: 'ENOTFOUND' })
})

t.test('blocks a name at connection time if it resolves to a private address by then', async t => {
  let connections = 0
  const inside = createServer(socket => { connections++; socket.destroy() })
  await new Promise<void>(resolve => inside.listen(0, '127.0.0.1', resolve))
  t.teardown(() => inside.close())
  const { port } = inside.address() as { port: number }
  const questions: string[] = []
  const rebound = resolving([PUBLIC], [LOOPBACK])
  await new Promise<void>(resolve => rebound('portal.example.com', { all: true }, () => resolve()))
  const resolve: Resolve = (host, options, done) => { questions.push(host); rebound(host, options, done) }
  const { b24, rest, install } = await openRestStage(t, { transport: transportOf(t, { allowPrivateNetworks: false, resolve }) })
  const portal = b24.portal('acme.bitrix24.com')
  await install(portal, { clientEndpoint: `http://portal.example.com:${port}/rest/` })
  await t.rejects(rest.call(portal.memberId, 'profile'), { code: 'FST_B24_PRIVATE_ADDRESS', statusCode: 502 })
  t.strictSame(questions, ['portal.example.com'])
  t.equal(connections, 0)
})

t.test('blocks private addresses in URLs unless allowed', async t => {
  const { b24, rest, install, another } = await openRestStage(t, { transport: transportOf(t, { allowPrivateNetworks: false }) })
  const portal = b24.portal('acme.bitrix24.com')
  await install(portal)
  await t.rejects(rest.call(portal.memberId, 'profile'), { code: 'FST_B24_PRIVATE_ADDRESS' })
  t.equal(portal.calls.length, 0)
  await t.resolves(another({ transport: transportOf(t) }).call(portal.memberId, 'profile'))
  t.equal(portal.calls.length, 1)
})

t.test('a name that does not resolve means an unavailable portal', async t => {
  const resolve = resolving(Object.assign(new Error(), { code: 'ENOTFOUND' }))
  const { b24, rest, install } = await openRestStage(t, { transport: transportOf(t, { allowPrivateNetworks: false, resolve }) })
  const portal = b24.portal('acme.bitrix24.com')
  await install(portal, { clientEndpoint: 'https://portal.example.com/rest/' })
  await t.rejects(rest.call(portal.memberId, 'profile'), { code: 'FST_B24_PORTAL_UNAVAILABLE', message: /ENOTFOUND/ })
})

import type { LookupAddress } from 'node:dns'
import { createServer } from 'node:net'
import t from 'tap'
import { publicLookup, type Resolve } from '../../../src/portal/rest/address-guard.ts'
import { AddressGuard } from '../../../src/portal/rest/private-address.ts'
import { openRestStage } from '../../helpers/rest-stage.ts'
import { transportOf } from '../../helpers/transport.ts'

const closed = new AddressGuard(false)
const PUBLIC: LookupAddress = { address: '8.8.8.8', family: 4 }
const PUBLIC_6: LookupAddress = { address: '2a00:1450::1', family: 6 }
const LOOPBACK: LookupAddress = { address: '127.0.0.1', family: 4 }

/** Resolves to one list after another. */
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

t.test('tells what a name resolved to', async t => {
  const cases: Array<[address: string, isPrivate: boolean]> = [
    ['8.8.8.8', false], ['10.0.0.1', true], ['::1', true], ['2a00:1450::1', false], ['fe80::1%eth0', true], ['::ffff:127.0.0.1', true],
    ['::ffff:8.8.8.8', false], ['64:ff9b::808:808', false], ['64:ff9b::a00:1', true], ['64:ff9b::7f00:1', true], ['64:ff9b::', true],
    ['64:ff9b::1', true], ['64:ff9b::a9fe:a9fe', true], ['no address', true]
  ]
  for (const [address, isPrivate] of cases) t.equal(closed.refusesIp(address), isPrivate, address)
})

t.test('finds only public addresses', async t => {
  t.strictSame(await look(resolving([LOOPBACK, PUBLIC, PUBLIC_6]), true), { code: undefined, found: [PUBLIC, PUBLIC_6] })
  t.strictSame(await look(resolving([LOOPBACK, PUBLIC]), false), { code: undefined, found: '8.8.8.8' })
  t.match(await look(resolving([LOOPBACK]), true), { code: 'FST_B24_PRIVATE_ADDRESS' })
  t.match(await look(resolving([]), false), { code: 'FST_B24_PRIVATE_ADDRESS' })
  t.match(await look(resolving(Object.assign(new Error(), { code: 'ENOTFOUND' })), true), { code: 'ENOTFOUND' })
})

t.test('a name that resolves to a private address is refused when it is connected to, however it resolved before', async t => {
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

t.test('private addresses are refused as they are written, unless they are allowed', async t => {
  const { b24, rest, install, another } = await openRestStage(t, { transport: transportOf(t, { allowPrivateNetworks: false }) })
  const portal = b24.portal('acme.bitrix24.com')
  await install(portal)
  await t.rejects(rest.call(portal.memberId, 'profile'), { code: 'FST_B24_PRIVATE_ADDRESS' })
  t.equal(portal.calls.length, 0)
  await t.resolves(another({ transport: transportOf(t) }).call(portal.memberId, 'profile'))
  t.equal(portal.calls.length, 1)
})

t.test('a name that does not resolve is of a portal that cannot be reached', async t => {
  const resolve = resolving(Object.assign(new Error(), { code: 'ENOTFOUND' }))
  const { b24, rest, install } = await openRestStage(t, { transport: transportOf(t, { allowPrivateNetworks: false, resolve }) })
  const portal = b24.portal('acme.bitrix24.com')
  await install(portal, { clientEndpoint: 'https://portal.example.com/rest/' })
  await t.rejects(rest.call(portal.memberId, 'profile'), { code: 'FST_B24_PORTAL_UNAVAILABLE', message: /ENOTFOUND/ })
})

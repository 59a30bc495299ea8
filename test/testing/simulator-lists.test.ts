import t from 'tap'
import type { Row } from '../../src/testing/portal/row-query.ts'
import { buildRest, type RestWorld } from '../helpers/rest-world.ts'

async function rowsOf ({ call }: RestWorld, method: string, params: object = {}): Promise<{ rows: Row[], total: number | undefined, next: number | undefined }> {
  const { status, body } = await call<Row[]>(method, params)
  t.equal(status, 200, JSON.stringify(body))
  return { rows: body.result as Row[], total: body.total, next: body.next }
}

t.test('crm.item.list filters as documented, and refuses fields that items do not have', async t => {
  const { portal, call } = await buildRest(t)
  portal.items.set(2, 1, { title: 'Coffee', updatedTime: '2026-01-01T00:00:00+00:00', ufCrm_1: 'a', mine: 1 })
  portal.items.set(2, 2, { title: 'Tea', updatedTime: '2026-01-01T01:00:00+00:00' })
  const ids = async (filter: object, as: 'json' | 'form' = 'json') => {
    const { body } = await call<{ items: Row[] }>('crm.item.list', { entityTypeId: 2, filter }, { as })
    return body.error ?? body.result?.items.map(({ id }) => id)
  }
  const cases: Array<[filter: object, ids: number[]]> = [
    [{ '>=updatedTime': '2026-01-01T04:00:00+03:00' }, [2]],
    [{ '!@id': [1] }, [2]],
    [{ '%title': 'off' }, [1]],
    [{ '=%title': 't%' }, [2]],
    [{ '!title': 'Tea' }, [1]],
    [{ 0: { logic: 'OR', 0: { title: 'Tea' }, 1: { id: 1 } } }, [1, 2]],
    [{ ufCrm_1: 'a', mine: 1 }, [1]],
    [{ '!parentId1220': 5, ufCrm2_5: '' }, [1, 2]]
  ]
  for (const [filter, wanted] of cases) {
    for (const as of ['json', 'form'] as const) t.strictSame(await ids(filter, as), wanted, `${JSON.stringify(filter)} as ${as}`)
  }
  const refused: Array<[params: object, description: string]> = [
    [{ filter: { nothing: 1 } }, "Invalid filter: field 'nothing' is not allowed in filter"],
    [{ filter: { 0: { logic: 'OR', '!=%TITLE': 'a' } } }, "Invalid filter: field 'TITLE' is not allowed in filter"],
    [{ filter: { '~id': 1 } }, "Invalid filter: field '~id' is not allowed in filter"],
    [{ order: { nothing: 'ASC' } }, "Invalid order: field 'nothing' is not allowed in order"],
    [{ order: { id: 'UP' } }, "Invalid order: allowed sort directions are `ASC, DESC`. But got 'UP' for field 'id'"]
  ]
  for (const [params, description] of refused) {
    t.match(await call('crm.item.list', { entityTypeId: 2, ...params }), { status: 400, body: { error: 'INVALID_ARG_VALUE', error_description: description } })
  }
  t.match(await call('crm.item.list', { entityTypeId: 3, filter: { mine: 1 } }), { status: 400 }, 'a field of another type')
})

t.test('start -1 leaves the counting out: total is 0', async t => {
  const world = await buildRest(t)
  for (let id = 1; id <= 60; id++) {
    world.portal.items.set(2, id)
    world.portal.user(id)
  }
  t.match(await world.call('crm.item.list', { entityTypeId: 2, start: -1 }), { body: { total: 0, next: undefined } })
  t.match(await rowsOf(world, 'user.get', { start: -1 }), { total: 0, next: undefined, rows: { length: 50 } })
})

t.test('user.get is sorted by two texts, and filtered among the parameters or apart', async t => {
  const world = await buildRest(t)
  const { portal } = world
  portal.user(3, { name: 'Ann' })
  portal.user(2, { name: 'Zoe', active: false })
  const ids = async (params: object) => (await rowsOf(world, 'user.get', params)).rows.map(({ ID }) => ID)
  const cases: Array<[params: object, ids: string[]]> = [
    [{}, ['1', '2', '3']],
    [{ sort: 'ID', order: 'DESC' }, ['3', '2', '1']],
    [{ SORT: 'NAME', ORDER: 'asc' }, ['3', '1', '2']],
    [{ order: { ID: 'DESC' } }, ['1', '2', '3']],
    [{ sort: 'ID' }, ['1', '2', '3']],
    [{ FILTER: { '>ID': 1 }, sort: 'ID', order: 'ASC' }, ['2', '3']],
    [{ ID: [1, 3] }, ['1', '3']],
    [{ filter: { ACTIVE: true } }, ['1', '3']],
    [{ ACTIVE: 'N' }, ['2']],
    [{ NAME: 'Ann', nothing: 1 }, ['3']]
  ]
  for (const [params, wanted] of cases) t.strictSame(await ids(params), wanted, JSON.stringify(params))
  t.strictSame((await rowsOf(world, 'user.get', { ID: 3, select: ['ID', 'NAME'] })).rows, [{ ID: '3', NAME: 'Ann' }])
  t.strictSame(await rowsOf(world, 'user.get', { ID: 99 }), { rows: [], total: undefined, next: undefined })
  for (let id = 4; id <= 50; id++) portal.user(id)
  t.match(await rowsOf(world, 'user.get'), { total: 50, next: undefined, rows: { length: 50 } }, 'exactly one page')
  portal.user(51)
  t.match(await rowsOf(world, 'user.get'), { total: 51, next: 50 })
  t.strictSame(await ids({ start: 50 }), ['51'])
})

t.test('crm.status.list gives all rows at once, crm.address.list rows without an id', async t => {
  const world = await buildRest(t)
  const statuses = await rowsOf(world, 'crm.status.list')
  t.ok(statuses.rows.length > 50)
  t.match(statuses, { total: statuses.rows.length, next: undefined })
  t.match((await rowsOf(world, 'crm.status.list', { filter: { ENTITY_ID: 'DEAL_STAGE' }, order: { SORT: 'DESC' } })).rows[0], { STATUS_ID: 'APOLOGY', ID: /^\d+$/ })

  t.strictSame(await rowsOf(world, 'crm.address.list'), { rows: [], total: 0, next: undefined })
  for (let n = 1; n <= 51; n++) world.portal.addresses.push({ TYPE_ID: '1', ENTITY_TYPE_ID: '8', ENTITY_ID: String(n), CITY: `City ${n}` })
  t.match(await rowsOf(world, 'crm.address.list'), { total: 51, next: 50, rows: { length: 50 } })
  t.strictSame((await rowsOf(world, 'crm.address.list', { filter: { ENTITY_ID: 51 }, select: ['CITY'] })).rows, [{ CITY: 'City 51' }])
})

t.test('a test plays any other list', async t => {
  const world = await buildRest(t)
  const { portal, call } = world
  const rows = Array.from({ length: 60 }, (_, index) => ({ id: String(index + 1), title: `Task ${index + 1}` }))
  const end = portal.stubList('tasks.task.list', rows, { key: 'tasks' })
  const { body } = await call<{ tasks: Row[] }>('tasks.task.list', { filter: { '>id': 5 }, order: { id: 'desc' }, select: ['id'] })
  t.match(body, { total: 55, next: 50, result: { tasks: [{ id: '60' }] } })
  t.strictSame(body.result?.tasks[0], { id: '60' })
  const endInner = portal.stubList('tasks.task.list', rows, { paged: false })
  t.match(await rowsOf(world, 'tasks.task.list'), { total: 60, next: undefined, rows: { length: 60 } })
  endInner()
  t.match((await call('tasks.task.list')).body, { next: 50 })
  end()
  t.match(await call('tasks.task.list'), { status: 404 })
})

t.test('app.info tells the plan, and REST bears as many calls', async t => {
  const { portal, call } = await buildRest(t)
  const licenseOf = async () => {
    const { LICENSE, LICENSE_TYPE, LICENSE_FAMILY } = (await call<Row>('app.info')).body.result as Row
    return [LICENSE, LICENSE_TYPE, LICENSE_FAMILY]
  }
  t.strictSame(await licenseOf(), ['en_pro100', 'pro100', 'pro'])
  for (const [license, family, cap] of [['ent250', 'ent', 250], ['entholding1000', 'ent', 250], ['std', 'std', 50], ['basic', 'basic', 50]] as const) {
    portal.license = license
    t.equal(portal.license, license)
    t.strictSame(await licenseOf(), [`en_${license}`, license, family])
    portal.license = license
    let taken = 0
    while (portal.bucket.take()) taken++
    t.ok(taken >= cap && taken < cap + 50, `${license}: ${taken}`)
    portal.limit({})
  }
})

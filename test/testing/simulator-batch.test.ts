import t from 'tap'
import { RestError } from '../../src/testing/index.ts'
import { buildRest, type RestWorld } from '../helpers/rest-world.ts'

interface BatchResult {
  result: Record<string, any>
  result_error: Record<string, { error: string, error_description: string }>
  result_total: Record<string, number>
}

async function batchOf ({ call }: RestWorld, cmd: object, halt: unknown = 0): Promise<BatchResult> {
  const { status, body } = await call<BatchResult>('batch', { halt, cmd })
  t.equal(status, 200)
  return body.result as BatchResult
}

t.test('commands beyond 50 fail one by one', async t => {
  const world = await buildRest(t)
  const { result, result_error: errors } = await batchOf(world, Array(53).fill('user.admin'))
  t.strictSame(result, Array(50).fill(true))
  t.strictSame(Object.keys(errors), ['50', '51', '52'])
  t.match(errors['52'], { error: 'ERROR_BATCH_LENGTH_EXCEEDED', error_description: 'Max batch length exceeded' })
  t.strictSame(Object.keys((await batchOf(world, Array(53).fill('user.admin'), 1)).result_error), ['50'], 'halts at the first')
  t.strictSame((await batchOf(world, Array(50).fill('user.admin'))).result_error, [])
})

t.test('without commands there is an empty answer; what is no text is passed over', async t => {
  const world = await buildRest(t)
  const { status, body } = await world.call<BatchResult>('batch')
  t.match({ status, result: body.result }, { status: 200, result: { result: [], result_error: [] } })
  t.match((await world.call<BatchResult>('batch', { CMD: { a: 'user.admin' }, HALT: 1 })).body.result, { result: { a: true } }, 'names have no case')
  t.strictSame((await batchOf(world, { a: ['user.admin', {}], b: 'user.admin' })).result, { b: true })
})

t.test('halts as PHP takes a condition', async t => {
  const world = await buildRest(t)
  const cmd = { bad: 'no.such.method', good: 'user.admin' }
  const cases: Array<[halt: unknown, halts: boolean]> = [
    [0, false], ['0', false], ['', false], [false, false], [null, false], [[], false], [1, true], ['1', true], [true, true], ['false', true], ['N', true]
  ]
  for (const [halt, halts] of cases) t.strictSame((await batchOf(world, cmd, halt)).result, halts ? [] : { good: true }, JSON.stringify(halt))
})

t.test('a command has what those before it gave', async t => {
  const world = await buildRest(t)
  const { portal } = world
  portal.items.set(2, 5, { title: 'Five', companyId: 7, contactIds: [3, 4] })
  for (const id of [6, 7]) portal.items.set(2, id)
  const asked: unknown[] = []
  portal.stub('my.echo', params => { asked.push(params); return params })
  const deal = 'crm.item.get?entityTypeId=2&id=5'
  const list = 'crm.item.list?entityTypeId=2'
  const cases: Array<[query: string, params: unknown]> = [
    ['id=$result[deal][item][id]', { id: 5 }],
    ['id=%24result%5Bdeal%5D%5Bitem%5D%5Bid%5D', { id: 5 }],
    ['filter[>id]=$result[list][items][1][id]', { filter: { '>id': 6 } }],
    ['ids[]=$result[list][items][0][id]&ids[]=$result[list][items][2][id]', { ids: [5, 7] }],
    ['ids=$result[deal][item][contactIds]', { ids: [3, 4] }],
    ['text=Deal $result[deal][item][id] of $result[deal][item][title]', { text: 'Deal 5 of Five' }],
    ['count=$total[list]', { count: 3 }],
    ['code=$error[gone][error]', { code: 'NOT_FOUND' }],
    ['text=costs 5 $results', { text: 'costs 5 $results' }],
    ['text=$result and $other[a]', { text: '$result and $other[a]' }],
    ['text=a $result[deal][item] b', { text: 'a $result[deal][item] b' }]
  ]
  for (const [query, params] of cases) {
    asked.length = 0
    await batchOf(world, { deal, list, gone: 'crm.item.get?entityTypeId=2&id=9', echo: `my.echo?${query}` })
    t.strictSame(asked[0], params, query)
  }
})

t.test('an unknown reference is no value', async t => {
  const world = await buildRest(t)
  const { result, result_error: errors } = await batchOf(world, {
    gone: 'crm.item.get?entityTypeId=2&id=9',
    first: 'crm.item.get?entityTypeId=2&id=$result[gone][item][id]',
    admin: 'user.admin',
    second: 'crm.item.get?entityTypeId=2&id=$result[none]'
  })
  t.strictSame(result, { admin: true })
  t.match(errors, { first: { error: 'ERROR_ARGUMENT', error_description: /'ID'/ }, second: { error: 'ERROR_ARGUMENT' } })
})

t.test('an error without a code is one in a batch too', async t => {
  const world = await buildRest(t)
  world.portal.stub('crm.deal.get', () => { throw new RestError(400, '', 'Not found', { note: 1 }) })
  t.match(await world.call('crm.deal.get', { id: 5 }), { status: 400, body: { error: '', error_description: 'Not found', note: 1 } })
  const { result, result_error: errors } = await batchOf(world, { a: 'crm.deal.get?id=5', b: 'user.admin' })
  t.strictSame([result, errors], [{ b: true }, { a: { error: '', error_description: 'Not found', note: 1 } }])
  t.strictSame((await batchOf(world, { a: 'crm.deal.get?id=5', b: 'user.admin' }, 1)).result, [], 'and halts')
})

t.test('a command ends where a # stands, as an address does', async t => {
  const world = await buildRest(t)
  t.match(await batchOf(world, { a: 'feature.get?CODE=none#&CODE=rest_auth_connector' }), { result: { a: { value: 'N' } } })
})

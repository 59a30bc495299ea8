import t, { type Test } from 'tap'
import { listPages, type WalkOptions } from '../../../src/portal/rest/list-pages.ts'
import { openPortalWorld } from '../../helpers/portal-world.ts'

type Row = Record<string, unknown>
interface Asked { filter?: Row, order?: Row, start?: number }

/** A list as a portal has it: in an order of its own until it is asked for another. */
function listOf (rows: Row[], { id, wrap = rows => rows }: { id: string, wrap?: (rows: Row[]) => unknown }) {
  const asked: Asked[] = []
  return {
    asked,
    ask: async (params: Asked) => {
      asked.push(params)
      const names = [...Object.keys(params.filter ?? {}), ...Object.keys(params.order ?? {})].map(name => name.replace('>', ''))
      if (names.some(name => name !== id && name !== 'stage')) throw new Error(`no field ${names}`)
      const key = id in rows[0]! ? id : id.toLowerCase()
      const left = rows.filter(row => Number(row[key]) > Number(params.filter?.[`>${id}`] ?? 0))
      return wrap((params.order === undefined ? left : left.toSorted((a, b) => Number(a[key]) - Number(b[key]))).slice(0, 50))
    }
  }
}

const rowsOf = (count: number, make: (id: number) => Row) => Array.from({ length: count }, (_, index) => make(count - index))
/** Sizes of the pages. */
async function walk (pages: AsyncIterable<unknown[]>): Promise<number[]> {
  const sizes: number[] = []
  for await (const page of pages) sizes.push(page.length)
  return sizes
}

t.test('walks through what portals have, told nothing of it', async t => {
  const items = (rows: Row[]) => ({ items: rows })
  const tasks = (rows: Row[]) => ({ tasks: rows })
  type Case = [what: string, list: ReturnType<typeof listOf>, options: WalkOptions, sizes: number[], calls: number]
  const cases: Case[] = [
    ['items of CRM', listOf(rowsOf(120, id => ({ id })), { id: 'id', wrap: items }), {}, [50, 50, 20], 4],
    ['deals, whose ids are text', listOf(rowsOf(120, id => ({ ID: `${id}` })), { id: 'ID' }), {}, [50, 50, 20], 4],
    ['a page and no more', listOf(rowsOf(49, id => ({ id })), { id: 'id', wrap: items }), {}, [49], 1],
    ['full pages alone', listOf(rowsOf(100, id => ({ ID: id })), { id: 'ID' }), {}, [50, 50], 4],
    ['an id that is named', listOf(rowsOf(120, id => ({ id })), { id: 'id', wrap: items }), { idKey: 'id' }, [50, 50, 20], 3],
    ['tasks, which have another name for it in filters', listOf(rowsOf(120, id => ({ id: `${id}` })), { id: 'ID', wrap: tasks }), { cursorIdKey: 'ID' }, [50, 50, 20], 3],
    ['users, whose number is not their id', listOf(rowsOf(60, id => ({ USER_ID: id, ID: 7 })), { id: 'USER_ID' }), { idKey: 'USER_ID' }, [50, 10], 2]
  ]
  for (const [what, { ask, asked }, options, sizes, calls] of cases) {
    const pages: Row[][] = []
    for await (const page of listPages<Row>(ask, 'x.list', {}, options)) pages.push(page)
    t.strictSame([pages.map(page => page.length), asked.length], [sizes, calls], what)
    t.equal(new Set(pages.flat().map(row => JSON.stringify(row))).size, sizes.reduce((a, b) => a + b), `${what}: each once`)
    t.ok(asked.every(({ start }) => start === -1), `${what}: nothing is counted`)
  }
})

t.test('where there is nothing, there is no page', async t => {
  for (const result of [[], { items: [] }]) t.strictSame(await walk(listPages(async () => result, 'x.list', {})), [])
})

t.test("a filter of one's own is kept, also one by the id", async t => {
  for (const name of ['filter', 'FILTER']) {
    const asked: Row[] = []
    const ask = async (params: object) => {
      asked.push((params as Row)[name] as Row)
      return rowsOf(asked.length < 3 ? 50 : 1, id => ({ ID: 50 * asked.length + 51 - id }))
    }
    await walk(listPages(ask, 'x.list', { [name]: { '>ID': 100, stage: 'NEW' } }))
    t.strictSame(asked, [{ '>ID': 100, stage: 'NEW' }, { '>ID': 100, stage: 'NEW' }, { '>ID': 150, stage: 'NEW' }], name)
  }
})

t.test('what cannot be walked through is said, and never left out', async t => {
  const same = rowsOf(50, id => ({ ID: 51 - id }))
  const cases: Array<[result: unknown, why: RegExp, options?: WalkOptions]> = [
    [[{ TITLE: 'no id' }], /no number as 'id'/],
    [[{ ID: 'DT1220_5' }], /no number as 'ID'/],
    [[{ ID: 1 }], /no number as 'id'/, { idKey: 'id' }],
    [[{ ID: 1 }, { ID: null }], /no number as 'ID'/],
    [same, /order of 'ID'/],
    [same.toReversed(), /order of 'ID'/, { idKey: 'ID' }],
    [{ items: [], others: [] }, /no list/],
    [{ items: { 5: { id: 5 } } }, /no list/],
    [true, /no list/],
    [undefined, /no list/],
    [['text'], /no list/]
  ]
  for (const [result, message, options] of cases) {
    await t.rejects(walk(listPages(async () => result, 'x.list', {}, options)), { code: 'FST_B24_LIST', message }, JSON.stringify(result)?.slice(0, 60))
  }
})

t.test('an order and a start are refused before anything is asked', async t => {
  let calls = 0
  const ask = async () => { calls++; return [] }
  for (const params of [{ order: { TITLE: 'ASC' } }, { ORDER: {} }, { start: 0 }]) {
    await t.rejects(walk(listPages(ask, 'x.list', params)), { code: 'FST_B24_LIST' }, JSON.stringify(params))
  }
  t.equal(calls, 0)
  t.strictSame(await walk(listPages(ask, 'x.list', { order: undefined })), [], 'what is not set is none')
})

t.test('walks through the items of a portal', async t => {
  const { rest, portal } = await worldOf(t)
  t.strictSame(await walk(rest.list(portal.memberId, 'crm.item.list', { entityTypeId: 1220 })), [50, 50, 20])
  t.strictSame(await walk(rest.list(portal.memberId, 'crm.item.list', { entityTypeId: 1220, filter: { '@stage': ['NEW'] } })), [50, 10])
  const controller = new AbortController()
  const pages = rest.list(portal.memberId, 'crm.item.list', { entityTypeId: 1220 }, { signal: controller.signal })
  await pages.next()
  controller.abort(new Error('enough'))
  await t.rejects(pages.next(), { message: 'enough' })
})

async function worldOf (t: Test) {
  const { rest, install } = await openPortalWorld(t)
  const [portal] = await install()
  for (let id = 1; id <= 120; id++) portal!.items.put(1220, id, { stage: id % 2 === 0 ? 'NEW' : 'WON' })
  return { rest, portal: portal! }
}

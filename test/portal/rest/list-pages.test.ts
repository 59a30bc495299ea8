import t, { type Test } from 'tap'
import { listPages as pagesOf, type PagingOptions } from '../../../src/portal/rest/list-pages.ts'
import { openPortalWorld } from '../../helpers/portal-world.ts'

type Row = Record<string, unknown>
interface Asked { filter?: Row, order?: Row, start?: number }

/** Paginates a list whose responses contain only a result. */
function listPages<T> (ask: (params: object) => Promise<unknown>, method: string, params: object, options?: PagingOptions) {
  return pagesOf<T>(async params => ({ result: await ask(params) }), method, params, options)
}

/** A list in arbitrary order unless an order is requested. */
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
/** Returns the page sizes. */
async function walk (pages: AsyncIterable<unknown[]>): Promise<number[]> {
  const sizes: number[] = []
  for await (const page of pages) sizes.push(page.length)
  return sizes
}

t.test('paginates every kind of list without hints', async t => {
  const items = (rows: Row[]) => ({ items: rows })
  const tasks = (rows: Row[]) => ({ tasks: rows })
  type Case = [what: string, list: ReturnType<typeof listOf>, options: PagingOptions, sizes: number[], calls: number]
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

t.test('yields no page for an empty list', async t => {
  for (const result of [[], { items: [] }]) t.strictSame(await walk(listPages(async () => result, 'x.list', {})), [])
})

t.test("keeps the caller's filter, even one by id", async t => {
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

t.test('a single page needs no ids', async t => {
  for (const row of [{ TITLE: 'no id' }, { ID: 'DT1220_5' }, { ID: null }, { CURRENCY: 'RUB' }]) {
    t.strictSame(await walk(listPages(async () => [row, row], 'x.list', {})), [2], JSON.stringify(row))
  }
  t.strictSame(await walk(listPages(async () => ({ 3: { id: 3 }, 7: { id: 7 } }), 'x.list', {})), [2], 'a list of PHP with gaps')
  t.strictSame(await walk(listPages(async () => ({ items: { 5: { id: 5 } } }), 'x.list', {})), [1])
})

t.test('a method without pagination returns everything at once', async t => {
  const cases: Array<[what: string, rows: Row[], calls: number]> = [
    ['more than a page holds', rowsOf(130, id => ({ ID: `${id}` })), 1],
    ['exactly as many', rowsOf(50, id => ({ ID: `${51 - id}` })), 7],
    ['exactly as many, in another order', rowsOf(50, id => ({ ID: `${id}` })), 5],
    ['exactly as many, without ids', rowsOf(50, id => ({ ENTITY_ID: `${id}` })), 3]
  ]
  for (const [what, rows, most] of cases) {
    let calls = 0
    const pages: Row[][] = []
    for await (const page of listPages<Row>(async () => { calls++; return rows }, 'crm.status.list', {})) pages.push(page)
    t.strictSame(pages, [rows], what)
    t.ok(calls <= most, `${what}: ${calls} calls`)
  }
})

t.test('users are sorted by string parameters', async t => {
  const users = rowsOf(120, id => ({ ID: `${id}` })).sort((a, b) => Number(a['ID']) * 7919 % 121 - Number(b['ID']) * 7919 % 121)
  const ask = async (params: object) => {
    const given = Object.fromEntries(Object.entries(params).map(([name, value]) => [name.toUpperCase(), value])) as Row
    if (given['SORT'] !== undefined && typeof given['ORDER'] !== 'string') throw new Error('order must be a string')
    const sorted = given['SORT'] === undefined ? users : users.toSorted((a, b) => Number(a['ID']) - Number(b['ID']))
    return sorted.filter(({ ID }) => Number(ID) > Number((given['FILTER'] as Row)?.['>ID'] ?? 0)).slice(0, 50)
  }
  for (const options of [{}, { idKey: 'ID' }]) t.strictSame(await walk(listPages(ask, 'user.get', { FILTER: { ACTIVE: true } }, options)), [50, 50, 20])
  await t.rejects(walk(listPages(ask, 'user.get', { SORT: 'NAME' })), { code: 'FST_B24_LIST', message: /does not support 'sort'/ })
})

t.test('finds the id\'s name in another case, even if the first attempt is rejected', async t => {
  for (const refuses of [false, true]) {
    const ask = async ({ filter, order }: Asked) => {
      if (refuses && order !== undefined && !('ID' in order)) throw Object.assign(new Error('Unknown field'), { code: 'FST_B24_PORTAL_CALL' })
      return { tasks: Array.from({ length: 120 }, (_, index) => ({ id: `${index + 1}` })).filter(({ id }) => Number(id) > Number(filter?.['>ID'] ?? 0)).slice(0, 50) }
    }
    for (const options of [{}, { cursorIdKey: 'ID' }, { idKey: 'id', cursorIdKey: 'ID' }]) t.strictSame(await walk(listPages(ask, 'tasks.task.list', {}, options)), [50, 50, 20])
    if (refuses) await t.rejects(walk(listPages(ask, 'tasks.task.list', {}, { idKey: 'id' })), { code: 'FST_B24_PORTAL_CALL' })
    else await t.rejects(walk(listPages(ask, 'tasks.task.list', {}, { idKey: 'id' })), { code: 'FST_B24_LIST' })
  }
})

/** A list that supports only `start`. */
function byStart (rows: Row[], { tells = { next: true, total: true } }: { tells?: { next?: boolean, total?: boolean } } = {}) {
  const starts: unknown[] = []
  const ask = async (params: object) => {
    const { start } = params as { start: number }
    starts.push(start)
    const from = Math.max(0, start)
    const next = from + 50 < rows.length && start >= 0 && tells.next === true ? from + 50 : undefined
    return { result: rows.slice(from, from + 50), next, total: start >= 0 && tells.total === true ? rows.length : undefined }
  }
  return { ask, starts }
}

t.test('paginates by start without an id, or on request', async t => {
  const rows = rowsOf(120, id => ({ ENTITY_ID: `${id}` }))
  for (const tells of [{ next: true, total: true }, { next: true }, { total: true }, {}]) {
    const { ask } = byStart(rows, { tells })
    t.strictSame(await walk(pagesOf(ask, 'crm.address.list', {})), [50, 50, 20], JSON.stringify(tells))
    t.strictSame(await walk(pagesOf(byStart(rowsOf(100, id => ({ id }))).ask, 'x.list', { order: { TITLE: 'ASC' } }, { paging: 'start' })), [50, 50])
  }
  const positional = byStart(rows)
  t.strictSame(await walk(pagesOf(positional.ask, 'task.item.list', [{ ID: 'asc' }, {}])), [50, 50, 20], 'parameters by their order')
  t.strictSame(positional.starts, [0, 50, 100])
  t.strictSame(await walk(pagesOf(byStart([]).ask, 'x.list', {}, { paging: 'start' })), [])
})

t.test('a short page is not the last if the portal indicates more or a page size was given', async t => {
  const rows = rowsOf(70, id => ({ id: 71 - id }))
  const limited = async (params: object) => {
    const { filter, limit } = params as { filter?: Row, limit: number }
    return rows.filter(({ id }) => Number(id) > Number(filter?.['>id'] ?? 0)).slice(0, limit)
  }
  t.strictSame(await walk(listPages(limited, 'x.list', { limit: 20 })), [20, 20, 20, 10])
  t.strictSame(await walk(listPages(async params => await limited({ ...params, limit: 60 }), 'x.list', { LIMIT: 60 })), [60, 10])
  const more = async () => ({ items: [{ name: 'x' }], hasMore: true })
  await t.rejects(walk(listPages(more, 'im.recent.list', {})), { code: 'FST_B24_LIST', message: /same page/ })
})

t.test('reports lists that cannot be paginated instead of missing items', async t => {
  const same = rowsOf(50, id => ({ ID: 51 - id }))
  const plain = rowsOf(50, () => ({ TITLE: 'x' }))
  const cases: Array<[result: unknown, why: RegExp, options?: PagingOptions, params?: object]> = [
    [same, /have no effect/, { paging: 'id' }],
    [same, /have no effect/, { idKey: 'ID' }],
    [same.toReversed(), /have no effect/, { idKey: 'ID' }],
    [plain, /have no id/, { paging: 'id' }],
    [plain, /same page again/, {}, { select: ['TITLE'] }],
    [same, /same page again/, {}, [5]],
    [same, /positional parameters/, { paging: 'id' }, [5]],
    [same, /neither an object nor an array/, { idKey: 'ID' }, { filter: 'ID > 5' }],
    [{ items: [], others: [] }, /not a list/],
    [true, /not a list/],
    [undefined, /not a list/],
    [null, /not a list/],
    [['text'], /not a list/]
  ]
  for (const [result, message, options, params = {}] of cases) {
    await t.rejects(walk(listPages(async () => result, 'x.list', params, options)), { code: 'FST_B24_LIST', message }, `${message} ${JSON.stringify(result)?.slice(0, 60)}`)
  }
})

t.test('rejects endless pages', async t => {
  const page = rowsOf(50, id => ({ name: id }))
  const other = rowsOf(50, id => ({ name: -id }))
  let calls = 0
  const cases: Array<[answer: () => object, message: RegExp]> = [
    [() => ({ result: page, next: 50, total: 9_999 }), /same page again/],
    [() => ({ result: [{ name: calls }], next: 0 }), /not after 0/],
    [() => ({ result: calls % 2 === 0 ? page : other, next: calls * 50 }), /same page again/],
    [() => ({ result: calls === 1 ? page : [], total: 120 }), /ended after 50 of 120/]
  ]
  for (const [answer, message] of cases) {
    calls = 0
    const ask = async () => { calls++; return answer() as { result: unknown } }
    await t.rejects(walk(pagesOf(ask, 'x.list', {}, { paging: 'start' })), { code: 'FST_B24_LIST', message })
    t.ok(calls < 5)
  }
  let last = 0
  const stuck = async (params: object) => {
    last = Number(((params as Asked).filter as Row | undefined)?.['>ID'] ?? 0)
    return rowsOf(50, id => ({ ID: 51 - id + Math.min(last, 100) }))
  }
  await t.rejects(walk(listPages(stuck, 'x.list', {})), { code: 'FST_B24_LIST', message: /ordered by 'ID'/ })
})

t.test('rejects order and start before any call', async t => {
  let calls = 0
  const ask = async () => { calls++; return [] }
  const cases: Array<[params: object, options?: PagingOptions]> = [[{ order: { TITLE: 'ASC' } }], [{ ORDER: {} }], [{ start: 0 }], [{ START: 50 }, { paging: 'start' }]]
  for (const [params, options] of cases) {
    await t.rejects(walk(listPages(ask, 'x.list', params, options)), { code: 'FST_B24_LIST' }, JSON.stringify(params))
  }
  t.equal(calls, 0)
  t.strictSame(await walk(listPages(ask, 'x.list', { order: undefined })), [], 'what is not set is none')
})

t.test('paginates the items of a portal', async t => {
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
  for (let id = 1; id <= 120; id++) portal!.items.set(1220, id, { stage: id % 2 === 0 ? 'NEW' : 'WON' })
  return { rest, portal: portal! }
}

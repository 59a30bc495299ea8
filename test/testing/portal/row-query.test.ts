import t from 'tap'
import { fieldsOf, meets, type Row, sorted } from '../../../src/testing/portal/row-query.ts'

const ROWS: Row[] = [
  { id: 1, title: 'Coffee', stageId: 'NEW', sum: 50, at: '2026-01-01T00:00:00+00:00', contactIds: [7, 8], companyId: null },
  { id: 2, title: 'Tea, green', stageId: 'WON', sum: 500, at: '2026-01-01T03:30:00+03:00', contactIds: [], companyId: 4 },
  { id: 3, title: '100% juice', stageId: 'LOSE', sum: 7, at: '2026-01-02T00:00:00Z', contactIds: [8], companyId: 5 }
]

t.test('a row meets a filter by every documented operator', async t => {
  const cases: Array<[filter: Row, ids: number[]]> = [
    [{}, [1, 2, 3]],
    [{ stageId: 'NEW' }, [1]],
    [{ '=stageId': ['NEW', 'WON'] }, [1, 2]],
    [{ '@id': [3, '1'] }, [1, 3]],
    [{ '@id': { 4: 3, 9: 1 } }, [1, 3]],
    [{ '!@id': [1] }, [2, 3]],
    [{ '!id': 1 }, [2, 3]],
    [{ '!=id': [1, 2] }, [3]],
    [{ '!companyId': '' }, [2, 3]],
    [{ companyId: null }, [1]],
    [{ companyId: [] }, [1]],
    [{ '%title': 'E' }, [1, 2, 3]],
    [{ '%title': 'EE' }, [1, 2]],
    [{ '!%title': 'ee' }, [3]],
    [{ '%title': '0%' }, [3]],
    [{ '=%title': 'co%' }, [1]],
    [{ '%=title': '%green' }, [2]],
    [{ '=%title': 'ee' }, []],
    [{ '=%title': 'c.ffee' }, []],
    [{ '!=%title': 'co%' }, [2, 3]],
    [{ '!%=title': '%e%' }, []],
    [{ '>sum': 7, '<sum': '500' }, [1]],
    [{ '>=sum': 50 }, [1, 2]],
    [{ '<=sum': 50 }, [1, 3]],
    [{ '<companyId': 5 }, [2]],
    [{ contactIds: 8 }, [1, 3]],
    [{ '!contactIds': 8 }, [2]]
  ]
  for (const [filter, ids] of cases) t.strictSame(found(filter), ids, JSON.stringify(filter))
})

t.test('groups of conditions are joined as their logic says, at any depth', async t => {
  const cases: Array<[filter: Row, ids: number[]]> = [
    [{ 0: { logic: 'OR', 0: { stageId: 'NEW' }, 1: { stageId: 'WON' } } }, [1, 2]],
    [{ 0: { LOGIC: 'or', stageId: 'NEW', '>sum': 400 } }, [1, 2]],
    [{ 0: { logic: 'AND', stageId: 'NEW', '>sum': 400 } }, []],
    [{ 0: [{ stageId: 'NEW' }, { sum: 50 }] }, [1]],
    [{ logic: 'OR', id: 3, stageId: 'WON' }, [2, 3]],
    [{ '>id': 1, 0: { logic: 'OR', 0: { logic: 'AND', stageId: 'NEW', sum: 50 }, 1: { '%title': 'juice' } } }, [3]],
    [{ 0: { logic: 'OR' } }, [1, 2, 3]]
  ]
  for (const [filter, ids] of cases) t.strictSame(found(filter), ids, JSON.stringify(filter))
  t.strictSame(fieldsOf({ '>=a': 1, '!=%b': 2, 0: { logic: 'OR', '@c': [], 0: { '!d': 1 } } }).sort(), ['a', 'b', 'c', 'd'])
})

t.test('dates are compared as instants, in whatever offset they are written', async t => {
  const cases: Array<[filter: Row, ids: number[]]> = [
    [{ at: '2026-01-01T03:00:00+03:00' }, [1]],
    [{ '>=at': '2026-01-01T03:15:00+03:00' }, [2, 3]],
    [{ '>at': '2025-12-31T19:00:00-05:00' }, [2, 3]],
    [{ '<at': '2026-01-01T05:30:01+0530' }, [1]],
    [{ '<=at': '2026-01-01 00:30:00' }, [1, 2]],
    [{ '>=at': '2026-01-02' }, [3]],
    [{ '@at': ['2026-01-02T03:00:00.000+03:00', '2026-99-99'] }, [3]]
  ]
  for (const [filter, ids] of cases) t.strictSame(found(filter), ids, JSON.stringify(filter))
  t.strictSame(sorted(ROWS, { at: 'desc' }).map(({ id }) => id), [3, 2, 1])
  t.strictSame(sorted([{ at: '2026-01-01T02:00:00+03:00' }, { at: '2025-12-31T22:30:00Z' }], { at: 'ASC' })[0], { at: '2025-12-31T22:30:00Z' })
})

function found (filter: Row): unknown[] {
  return ROWS.filter(row => meets(row, filter)).map(({ id }) => id)
}

import t from 'tap'
import { didYouMean, nearestName } from '../src/validation.ts'

const NAMES = ['redis', 'publicUrl', 'offline', 'mode', 'dataDir', 'onCrmDealAdd', 'onCrmDealUpdate', 'onCrmLeadUpdate', 'onCrmDealDelete']

t.test('finds the name that a misspelled one means', async t => {
  const cases: Array<[given: string, meant: string | undefined]> = [
    ['publicURL', 'publicUrl'],
    ['ofline', 'offline'],
    ['offlines', 'offline'],
    ['redisUrl', 'redis'],
    ['dataDirectory', 'dataDir'],
    ['moed', undefined],
    ['mod', 'mode'],
    ['made', 'mode'],
    ['onCrmDealUpdated', 'onCrmDealUpdate'],
    ['onCrmDealupdtae', 'onCrmDealUpdate'],
    ['ONCRMLEEDUPDATE', 'onCrmLeadUpdate'],
    ['onCrmDealDelet', 'onCrmDealDelete'],
    ['onTaskAdd', undefined],
    ['url', undefined],
    ['on', undefined],
    ['', undefined]
  ]
  for (const [given, meant] of cases) t.equal(nearestName(given, NAMES), meant, given)
})

t.test('chooses the nearest name, and the first of equals', async t => {
  t.equal(nearestName('abcdefgh', ['abcdefxx', 'abcdefgx', 'abcdefgy']), 'abcdefgx')
  t.equal(nearestName('abc', []), undefined)
})

t.test('suggests only similar names', async t => {
  t.equal(didYouMean('ofline', NAMES), "; did you mean 'offline'?")
  t.equal(didYouMean('teapot', NAMES), '')
})

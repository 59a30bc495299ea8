import t from 'tap'
import { didYouMean, nearestName } from '../src/validation.ts'

const NAMES = ['redis', 'publicUrl', 'offline', 'mode', 'dataDir', 'onCrmDealAdd', 'onCrmDealUpdate', 'onCrmLeadUpdate', 'onCrmDealDelete']

t.test('a misspelt name is near the one that was meant', async t => {
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

t.test('of several near names the nearest is the one, of equals the first', async t => {
  t.equal(nearestName('abcdefgh', ['abcdefxx', 'abcdefgx', 'abcdefgy']), 'abcdefgx')
  t.equal(nearestName('abc', []), undefined)
})

t.test('a message asks only where a name is near', async t => {
  t.equal(didYouMean('ofline', NAMES), "; did you mean 'offline'?")
  t.equal(didYouMean('teapot', NAMES), '')
})

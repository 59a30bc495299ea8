import t from 'tap'
import { PortalShares } from '../../src/queue/portal-shares.ts'

const MINUTE_MS = 60_000

/** How many places each portal gets of so many, one after another, each as many as it may. */
function sharesOf (places: number, portals: string[]): number[] {
  const shares = new PortalShares(places)
  for (const portal of portals) shares.see(portal)
  let left = places
  return portals.map(portal => {
    let count = 0
    while (left > 0 && shares.hasRoom(portal)) {
      shares.take(portal)
      count++
      left--
    }
    return count
  })
}

t.test('portals that take what they may leave some to the next', async t => {
  const cases: Array<[places: number, portals: string[], shares: number[]]> = [
    [16, ['a', 'b', 'c', 'd'], [12, 3, 1, 0]],
    [8, ['a', 'b', 'c'], [6, 1, 1]],
    [4, ['a', 'b'], [3, 1]],
    [2, ['a', 'b'], [1, 1]],
    [1, ['a', 'b'], [1, 0]],
    [16, ['a'], [16]]
  ]
  for (const [places, portals, shares] of cases) t.strictSame(sharesOf(places, portals), shares, `${portals.length} portals, ${places} places`)
})

t.test('what is left is given anew', async t => {
  const shares = new PortalShares(4)
  for (const portal of ['b', 'a', 'a', 'a']) shares.see(portal)
  for (let i = 0; i < 3; i++) shares.take('a')
  t.equal(shares.hasRoom('a'), false)
  t.equal(shares.hasRoom('b'), true)
  shares.leave('a')
  t.equal(shares.hasRoom('a'), true)
  shares.leave('nobody')
  t.equal(shares.hasRoom('a'), true)
  shares.take('a')
  shares.clear()
  t.equal(shares.hasRoom('a'), true)
})

t.test('a portal is alone when no other had an event for ten minutes', async t => {
  let now = 0
  const shares = new PortalShares(2, () => now)
  shares.see('a')
  shares.take('a')
  t.equal(shares.hasRoom('a'), true)
  shares.see('b')
  t.equal(shares.hasRoom('a'), false)
  now += 10 * MINUTE_MS
  shares.see('a')
  t.equal(shares.hasRoom('a'), false)
  now += 1
  t.equal(shares.hasRoom('a'), true)
  t.equal(shares.hasRoom('b'), true)
})

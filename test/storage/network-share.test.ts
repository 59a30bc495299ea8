import t from 'tap'
import { hasSlot, shareOf } from '../../src/storage/network-share.ts'

t.test('a share falls with the square of what is free', async t => {
  const rows: Array<[others: number, most: number]> = [[0, 96], [3, 93], [96, 24], [120, 13], [142, 6], [171, 1], [191, 1], [192, 0], [200, -8]]
  for (const [others, most] of rows) t.equal(shareOf(192, others, 1 / 2), most, `beside ${others}`)
  let networks = 0
  for (let taken = 0; taken < 192; taken += shareOf(192, taken, 1 / 2)) networks++
  t.equal(networks, 38, 'so many networks fill all places')
})

t.test('each part of a path has its share of what the one before has', async t => {
  const rows: Array<[what: string, taken: number[], has: boolean]> = [
    ['nobody has any', [0, 0, 0, 0], true],
    ['the last place of an address', [71, 71, 71], true],
    ['all places of an address', [72, 72, 72], false],
    ['a neighbour of it', [72, 72, 0], true],
    ['a network that is full', [96, 96, 0], false],
    ['a /56 that is full', [72, 72, 72, 0], false],
    ['a /64 that is full', [54, 54, 54, 54], false],
    ['another network beside one that is full', [96, 0, 0, 0], true],
    ['the last place of all', [191, 0, 0, 0], true],
    ['one network cannot have that', [191, 1, 0, 0], false],
    ['no place at all', [192, 0, 0, 0], false]
  ]
  t.equal(hasSlot({ path: ['server', 'acme'], isKnown: true }, [31, 31]), true, 'a known portal has other places')
  t.equal(hasSlot({ path: ['server', 'acme'], isKnown: true }, [32, 32]), false)
  for (const [what, taken, has] of rows) t.equal(hasSlot({ path: taken.map(String), isKnown: false }, taken), has, what)
})

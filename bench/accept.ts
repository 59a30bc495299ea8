import type { Portals } from './portals.ts'
import type { Programs } from './programs.ts'
import { CONNECTIONS, PLACE, Race } from './race.ts'
import { atLeast, type Section } from './table.ts'

const ROUNDS = 11
const AIM = 0.4

const EMPTY = 'empty Fastify route, stores nothing'
const EXPRESS = 'Express 5 recipe, stores nothing'
const BY_HAND = 'written by hand, bare queue of BullMQ'
const OURS = 'fastify-bitrix24'
const SQLITE = 'fastify-bitrix24, SQLite'

/** The accept path: an event is proved and stored before the answer. Nothing handles it here: that would take of the core. */
export async function measureAccept (programs: Programs, portals: Portals): Promise<Section> {
  const delivery = { worker: false }
  const race = await Race.open(programs, portals, [
    { name: EMPTY, program: 'empty', settings: portals.server, proves: false },
    { name: EXPRESS, program: 'express', settings: portals.server, proves: true },
    { name: BY_HAND, program: 'by-hand-queue', settings: portals.server, proves: true },
    { name: OURS, program: 'ours', settings: { plugin: portals.plugin('Redis', delivery) }, proves: true },
    { name: SQLITE, program: 'ours', settings: { plugin: portals.plugin('SQLite', delivery) }, proves: true }
  ])
  await race.run(ROUNDS)
  await race.close()
  return {
    title: `Accepting an event, stored before the answer, ${ROUNDS} rounds in turn, medians, ${CONNECTIONS} connections kept alive, ${PLACE}`,
    rows: [
      ...race.rows(OURS),
      { name: `aim of the plugin on Redis, against the empty route: ${AIM.toFixed(2)} x`, figure: `${race.ratio(OURS, EMPTY).toFixed(2)} x` },
      { name: 'SQLite against the empty route', figure: `${race.ratio(SQLITE, EMPTY).toFixed(2)} x` }
    ],
    notes: [
      'Ratio: requests/s of fastify-bitrix24 on Redis against this one, round by round. No server logs, none handles what it stores.',
      'Each post is of another item, so that none is coalesced. By hand: one GET and one queue.add, with the defaults of BullMQ and ioredis.',
      'Redis appends to disk every second, and is emptied of what was stored before each round; SQLite keeps it.',
      'Bitrix24 itself closes the connection after each event, which costs all of them the same.'
    ],
    targets: [
      atLeast('accept on Redis, against the empty route', 0.5, race.ratio(OURS, EMPTY)),
      atLeast('accept on Redis, against written by hand with BullMQ', 1, race.ratio(OURS, BY_HAND)),
      atLeast('accept on Redis, against Express 5, which stores nothing', 2, race.ratio(OURS, EXPRESS)),
      atLeast('accept in SQLite, against the empty route', 0.35, race.ratio(SQLITE, EMPTY))
    ]
  }
}

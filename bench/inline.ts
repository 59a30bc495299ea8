import type { Portals } from './portals.ts'
import type { Programs } from './programs.ts'
import { CONNECTIONS, PLACE, Race } from './race.ts'
import { atLeast, type Section } from './table.ts'

const ROUNDS = 11
const COUNTED_EVENTS = 1_000

const BY_HAND = 'written by hand'
const OURS = 'fastify-bitrix24, inline'

/** `delivery: { mode: 'inline' }`: an event is proved and handled before the answer, and stored nowhere. */
export async function measureInline (programs: Programs, portals: Portals): Promise<Section> {
  const race = await Race.open(programs, portals, [
    { name: BY_HAND, program: 'by-hand', settings: portals.server, proves: true },
    { name: OURS, program: 'ours', settings: { plugin: portals.plugin('Redis', { mode: 'inline' }) }, proves: true }
  ])
  await race.run(ROUNDS)
  const count = async (connections: number) => await portals.countCommands(async () => {
    return (await race.round(OURS, { connections, seconds: 10, amount: COUNTED_EVENTS })).requests
  })
  const [alone, busy] = [await count(1), await count(CONNECTIONS)]
  await race.close()
  return {
    title: `Handling an event before the answer, ${ROUNDS} rounds in turn, medians, ${CONNECTIONS} connections kept alive, ${PLACE}`,
    rows: [
      ...race.rows(OURS),
      { name: 'Redis commands for an event, one at a time', figure: alone.toFixed(2) },
      { name: `Redis commands for an event, ${CONNECTIONS} at once`, figure: busy.toFixed(2) }
    ],
    notes: ['The plugin asks for what came in one turn of the event loop with one MGET; by hand, each asks with a GET.'],
    targets: [
      atLeast('inline, against written by hand', 0.9, race.ratio(OURS, BY_HAND)),
      { name: 'inline, Redis round trips for an event', wanted: 'one', got: alone.toFixed(2), met: alone < 1.02 }
    ]
  }
}

import { measureDecoders } from './decoder.ts'
import { printSection, printTargets, type Section } from './table.ts'

// Runs the sections that are named, or all: `npm run bench -- accept handled`. Exits with 0 whatever was measured, for
// machines are noisy; with `--strict` with 1 when a target is not met.
const wanted = process.argv.slice(2).filter(name => !name.startsWith('--'))
const isWanted = (name: string): boolean => wanted.length === 0 || wanted.includes(name)

// First, and before ioredis is loaded: its decoder extends String, and from then on V8 reads strings at half the speed, for all alike.
const sections: Section[] = isWanted('decoder') ? measureDecoders() : []
sections.forEach(printSection)

const { startRedis } = await import('../test/helpers/redis-server.ts')
const { measureAccept } = await import('./accept.ts')
const { measureBacklog } = await import('./backlog.ts')
const { measureCall } = await import('./call.ts')
const { measureCoalescing } = await import('./coalescing.ts')
const { measureFairness } = await import('./fairness.ts')
const { measureHandled } = await import('./handled.ts')
const { measureInline } = await import('./inline.ts')
const { measureInstalls } = await import('./installs.ts')
const { measureLatency } = await import('./latency.ts')
const { Portals } = await import('./portals.ts')
const { Programs } = await import('./programs.ts')
const { measureStartUp } = await import('./start-up.ts')

const programs = await Programs.compile()
// As an app has it, but that it does not rewrite its file in the middle of a round.
const redis = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'everysec', '--auto-aof-rewrite-percentage', '0'] })
const portals = await Portals.open(programs, redis.url)
const measures: Record<string, () => Promise<Section>> = {
  accept: () => measureAccept(programs, portals),
  inline: () => measureInline(programs, portals),
  latency: () => measureLatency(programs, redis.url),
  handled: () => measureHandled(programs, redis.url),
  fairness: () => measureFairness(programs, redis.url),
  coalescing: () => measureCoalescing(programs, redis.url),
  backlog: () => measureBacklog(programs, redis.url),
  call: () => measureCall(programs, redis.url),
  'start-up': () => measureStartUp(programs, redis.url),
  installs: measureInstalls
}
try {
  for (const [name, measure] of Object.entries(measures)) {
    if (!isWanted(name)) continue
    const section = await measure()
    printSection(section)
    sections.push(section)
  }
} finally {
  await programs.stopAll()
  await portals.close()
  await redis.stop()
}
const met = printTargets(sections.flatMap(({ targets }) => targets))
process.exitCode = met || !process.argv.includes('--strict') ? 0 : 1

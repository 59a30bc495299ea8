import { measureDecoders } from './decoder.ts'
import { printSection, printTargets, type Section } from './table.ts'

// Exits with 0 whatever was measured, for machines are noisy; with `--strict` with 1 when a target is not met.

// First, and before ioredis is loaded: its decoder extends String, and from then on V8 reads strings at half the speed, for all alike.
const sections: Section[] = measureDecoders()

const { measureAccept } = await import('./accept.ts')
const { measureInstalls } = await import('./installs.ts')
const { Portals } = await import('./portals.ts')
const { Programs } = await import('./programs.ts')
const { measureStartUp } = await import('./start-up.ts')

const programs = await Programs.compile()
const portals = await Portals.open(process.env['REDIS_URL']!)
try {
  for (const measure of [() => measureAccept(programs, portals), () => measureStartUp(programs, portals), measureInstalls]) {
    sections.push(...[await measure()].flat())
  }
} finally {
  await programs.stopAll()
  await portals.close()
}
for (const section of sections) printSection(section)
const met = printTargets(sections.flatMap(({ targets }) => targets))
process.exitCode = met || !process.argv.includes('--strict') ? 0 : 1

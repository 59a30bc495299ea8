import { measureAccept } from './accept.ts'
import { measureDecoders } from './decoder.ts'
import { measureInstalls } from './installs.ts'
import { Portals } from './portals.ts'
import { Programs } from './programs.ts'
import { measureStartUp } from './start-up.ts'
import { printSection, printTargets, type Section } from './table.ts'

// Exits with 0 whatever was measured, for machines are noisy; with `--strict` with 1 when a target is not met.
const programs = await Programs.compile()
const portals = await Portals.open(process.env['REDIS_URL']!)
const sections: Section[] = []
try {
  for (const measure of [measureDecoders, () => measureAccept(programs, portals), () => measureStartUp(programs, portals), measureInstalls]) {
    sections.push(...[await measure()].flat())
  }
} finally {
  await programs.stopAll()
  await portals.close()
}
for (const section of sections) printSection(section)
const met = printTargets(sections.flatMap(({ targets }) => targets))
process.exitCode = met || !process.argv.includes('--strict') ? 0 : 1

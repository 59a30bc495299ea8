// Writes php-vectors.json, PHP's results for trees and bodies, for machines without PHP: npx tsx test/wire/make-php-vectors.ts
import { writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { askPhp, soups, trees } from '../helpers/php-forms.ts'
import { DIFFERENT, SAME_AS_PHP } from './awkward.ts'

// Converted through JSON, as PHP receives them.
const sampled = fc.sample(trees, { numRuns: 60, seed: 24 }).map(tree => JSON.parse(JSON.stringify(tree)))
const mixed = fc.sample(soups, { numRuns: 200, seed: 1220 })
const awkward = [...SAME_AS_PHP, ...DIFFERENT.map(({ body }) => body)]

const { version, built } = askPhp(sampled, [])
const bodies = [...built, ...awkward, ...mixed]
const { parsed } = askPhp([], bodies)

const lines = (pairs: unknown[][]) => `[\n${pairs.map(pair => JSON.stringify(pair)).join(',\n')}\n]`
writeFileSync(new URL('php-vectors.json', import.meta.url), `{
"php": ${JSON.stringify(version)},
"built": ${lines(sampled.map((tree, index) => [tree, built[index]]))},
"parsed": ${lines([...new Map(bodies.map((body, index) => [body, parsed[index]]))])}
}
`)

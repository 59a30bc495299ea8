import { once } from 'node:events'
import { EmbeddedClaims } from '../../src/installs/embedded-claims.ts'

// A second process on one folder: says 'ready', waits for a line, holds events for a claim, and reports how many it may keep.
const [dataDir, app, memberId, token, events] = process.argv.slice(2) as [string, string, string, string, string]
const claims = await EmbeddedClaims.open(dataDir, app)

say('ready')
await once(process.stdin, 'data')
const held = await Promise.all(Array.from({ length: Number(events) }, () => claims.admitEvent({ memberId, token })))
say(held.filter(Boolean).length)
await claims.end()
process.exit()

function say (line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

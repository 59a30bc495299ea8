import { once } from 'node:events'
import { SqlitePendingInstalls } from '../../src/storage/sqlite/pending-installs.ts'
import { openDatabase } from '../storage/sqlite/database.ts'

// A second process on one folder: says 'ready', waits for a line, admits events for an install, and reports how many it may keep.
const [dataDir, memberId, token, events] = process.argv.slice(2) as [string, string, string, string]
const db = await openDatabase(dataDir)
const installs = new SqlitePendingInstalls(db)

say('ready')
await once(process.stdin, 'data')
const admitted = await Promise.all(Array.from({ length: Number(events) }, () => installs.admitEvent({ memberId, token })))
say(admitted.filter(Boolean).length)
await db.close()
process.exit()

function say (line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

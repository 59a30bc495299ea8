import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { EmbeddedInstallStore } from '../../src/installs/embedded-store.ts'
import { sampleInstall } from '../../src/testing/install-store-contract.ts'
import { raceForVersions } from './race-for-versions.ts'

// A second process on one folder: `race`, `write` or `fill`. It says 'ready', waits for a line, and reports one JSON a line.
const [task, dataDir, app, id] = process.argv.slice(2) as [string, string, string, string]
const store = await EmbeddedInstallStore.open(dataDir, app)

const TASKS: Record<string, () => Promise<void>> = {
  async race () {
    say(await raceForVersions(store, id, 50))
  },
  async write () {
    for (let i = 0; ; i++) {
      await store.swap(`${id}-${i}`, 0, sampleInstall(`${id}-${i}`))
      say(`${id}-${i}`)
    }
  },
  async fill () {
    const big = (memberId: string): ReturnType<typeof sampleInstall> => sampleInstall(memberId, { domain: 'x'.repeat(4000) })
    limitFiles('400000:')
    const failures: unknown[] = []
    for (let i = 0; failures.length === 0; i++) {
      const ids = Array.from({ length: 10 }, (_, n) => `${id}-${i}-${n}`)
      const results = await Promise.allSettled(ids.map(memberId => store.swap(memberId, 0, big(memberId))))
      for (const [n, result] of results.entries()) {
        if (result.status === 'fulfilled') continue
        const { code, cause } = result.reason
        failures.push({ code, cause: cause.message, stored: await store.get(ids[n] as string) !== undefined })
      }
    }
    await new Promise(setImmediate)
    say({ failures, first: (await store.get(`${id}-0-0`))?.version })
    limitFiles('unlimited:')
  }
}

say('ready')
await once(process.stdin, 'data')
await TASKS[task]?.()
await store.close()
process.exit()

/** Sets how large a file of this process may grow, bytes: for a write, the limit is a full disk. Linux only. */
function limitFiles (size: string): void {
  const { status, error } = spawnSync('prlimit', ['--pid', String(process.pid), `--fsize=${size}`])
  if (status !== 0) throw error ?? new Error(`prlimit ended with status ${status}`)
}

function say (line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

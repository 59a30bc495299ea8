import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { InstallCache, type StoredInstall } from '../../src/storage/install-store.ts'
import { sampleInstall } from '../../src/testing/index.ts'

t.test('reads an install once for a burst, and again after it', async t => {
  let reads = 0
  const installs = new InstallCache({ get: async memberId => ({ version: ++reads, install: sampleInstall(memberId) }) })
  const versions = await Promise.all(['a', 'a', 'b', 'a'].map(async memberId => (await installs.get(memberId))?.version))
  t.strictSame(versions, [1, 1, 2, 1])
  await sleep(150)
  t.equal((await installs.get('a'))?.version, 3)
})

t.test('keeps no failure', async t => {
  const answers: Array<() => StoredInstall | undefined> = [
    () => { throw new Error('away') },
    () => ({ version: 1, install: sampleInstall('a') })
  ]
  const installs = new InstallCache({ get: async () => answers.shift()!() })
  await t.rejects(installs.get('a'), { message: 'away' })
  t.equal((await installs.get('a'))?.version, 1)
})

import type { InstallStore } from '../../src/storage/install-store.ts'
import { sampleInstall } from '../../src/testing/install-store-contract.ts'

/** Swaps one record up to a version against whoever does the same; tells which versions were won. */
export async function raceForVersions (store: InstallStore, id: string, last: number): Promise<number[]> {
  const won: number[] = []
  for (let version = 0; version < last; version = (await store.get(id))?.version ?? 0) {
    if (await store.swap(id, version, sampleInstall(id, { domain: `${process.pid}.example` }))) won.push(version)
  }
  return won
}

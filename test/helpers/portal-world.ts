import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { LocalLimits } from '../../src/storage/sqlite/call-rate-limits.ts'
import type { BucketRates } from '../../src/storage/call-rate-limits.ts'
import { PortalRest } from '../../src/portal/rest/rest.ts'
import type { SimulatedPortal } from '../../src/testing/index.ts'
import { TokenWorld, type TokenSettings } from './token-world.ts'
import { transportOf } from './transport.ts'

/** An app that calls simulated portals, with tokens that are good for an hour. */
export interface PortalWorld {
  world: TokenWorld
  rest: PortalRest
  /** A portal that installed the app; the first is `p0.bitrix24.com`. */
  install (count?: number): Promise<SimulatedPortal[]>
}

export async function openPortalWorld (t: Test, { storage = { dataDir: folderOf(t) }, rates = { drainPerSecond: 1_000, burst: 1_000 } }: { storage?: TokenSettings['storage'], rates?: BucketRates } = {}): Promise<PortalWorld> {
  const world = await TokenWorld.open(t, storage)
  const rest = new PortalRest({ tokens: world.tokens(t), limits: new LocalLimits(rates), transport: transportOf(t) })
  let installed = 0
  return {
    world,
    rest,
    install: async (count = 1) => {
      const portals = Array.from({ length: count }, () => world.b24.portal(`p${installed++}.bitrix24.com`))
      await Promise.all(portals.map(async portal => await world.install(portal, { expired: false })))
      return portals
    }
  }
}

/** Methods that a portal was asked for, those of batches one by one: `batch`, `event.bind`… */
export function methodsOf (portal: SimulatedPortal): string[] {
  return portal.calls.flatMap(({ method, commands }) => commands ?? [method])
}

function folderOf (t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'b24-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

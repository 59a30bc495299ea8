import type { FastifyBaseLogger } from 'fastify'
import type { InstallStore } from '../installs/store.ts'
import type { Portal, Portals } from '../portal/portal.ts'
import type { Told } from '../portal/token-refresh.ts'
import type { LifecycleHookList } from './lifecycle-hooks.ts'

export interface PortalNewsParts {
  store: Pick<InstallStore, 'get'>
  lifecycleHooks: LifecycleHookList
  /** Asked when there is news: who makes portals needs what tells of them. */
  portals: () => Portals
  log: FastifyBaseLogger
}

/** Tells the lifecycle hooks what became of a portal while the app acted on it. */
export function portalNews ({ store, lifecycleHooks, portals, log }: PortalNewsParts): Told {
  const find = async (memberId: string): Promise<Portal | undefined> => {
    const stored = await store.get(memberId)
    return stored && portals().of(stored.install)
  }
  return {
    reauthRequired: async (memberId) => {
      const portal = await find(memberId)
      if (portal !== undefined) await lifecycleHooks.tell('onReauthRequired', { portal }, { log })
    },
    suspended: async (memberId) => {
      const portal = await find(memberId)
      if (portal !== undefined) await lifecycleHooks.tell('onSuspended', { portal }, { log })
    },
    renamed: async (memberId, from, to) => {
      const portal = await find(memberId)
      if (portal !== undefined) await lifecycleHooks.tell('onPortalRenamed', { portal, from, to }, { log })
    }
  }
}

import type { FastifyBaseLogger } from 'fastify'
import type { InstallStore } from '../../storage/install-store.ts'
import type { Portal, Portals } from '../../portal/portal.ts'
import type { PortalBlock } from '../../portal/rest/portal-blocks.ts'
import type { PortalNews } from '../../portal/tokens/portal-news.ts'
import type { LifecycleHookList } from './lifecycle-hooks.ts'

export interface PortalNewsParts {
  store: Pick<InstallStore, 'get'>
  lifecycleHooks: LifecycleHookList
  /** Asked when there is news: who makes portals needs what tells of them. */
  portals: () => Portals
  log: FastifyBaseLogger
}

/** Tells the lifecycle hooks what became of a portal while the app acted on it. */
export function portalNews ({ store, lifecycleHooks, portals, log }: PortalNewsParts): PortalNews & { blocked (block: PortalBlock): void } {
  const tell = (memberId: string, hook: (portal: Portal) => Promise<void>): void => {
    store.get(memberId)
      .then(async stored => { if (stored !== undefined) await hook(portals().of(stored.install)) })
      .catch((error: unknown) => log.error({ err: error, memberId }, 'a hook could not be told'))
  }
  return {
    blocked: ({ memberId, ...block }) => {
      log.warn({ memberId, ...block }, 'portal takes no calls until somebody acts')
      tell(memberId, async portal => await lifecycleHooks.tell('onBlocked', { portal, ...block }, { log }))
    },
    reauthRequired: memberId => tell(memberId, async portal => await lifecycleHooks.tell('onReauthRequired', { portal }, { log })),
    suspended: memberId => tell(memberId, async portal => await lifecycleHooks.tell('onSuspended', { portal }, { log })),
    renamed: (memberId, from, to) => tell(memberId, async portal => await lifecycleHooks.tell('onPortalRenamed', { portal, from, to }, { log }))
  }
}

import fastifyBitrix24 from './plugin.ts'

export default fastifyBitrix24
export { fastifyBitrix24 }
export type { Bitrix24Namespaces } from './plugin.ts'
export type { FastifyBitrix24Options } from './options.ts'
export type { DeliveryOptions } from './delivery/delivery-options.ts'
export type { Bitrix24, EventHandler, Health } from './bitrix24.ts'

export { EntityType } from './events/entity-type.ts'
export type { Bitrix24Event } from './events/event.ts'
export type { Bitrix24EventMap, EventCode, EventData, EventName } from './events/event-map.ts'
export type { EventFilter } from './events/filter.ts'
export type { HandlerOptions } from './events/registration.ts'
export type { DeadLetterFilter } from './delivery/dead-letter-filter.ts'
export type { DeadLetter, DeadLetterList, DeadLetterQuery, DeadLetters } from './delivery/dead-letters.ts'
export type { EventCounts } from './delivery/event-counts.ts'
export type { HandlerContext } from './delivery/handler-context.ts'
export type { HandlerFailure, LifecycleContext, LifecycleHook, LifecycleHookName, LifecycleHooks } from './delivery/lifecycle-hooks.ts'
export type { RejectReason } from './delivery/reject-reason.ts'
export type { InstallPageFacts, InstallPageOptions } from './routes/install-page-options.ts'
export type { Portal } from './portal/portal.ts'

export type { Install, InstallState, SealedPair, TokenDigest } from './installs/install.ts'
export type { InstallPage, InstallStore, StoredInstall } from './installs/store.ts'
export type { QueueCounts } from './queue/queue.ts'
export { bullQueueOf } from './redis/keys.ts'
export type { RedisClient } from './redis/client.ts'

export * as errors from './errors.ts'

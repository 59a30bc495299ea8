import type { Redis } from 'ioredis'
import type { BullScripts } from './bull-scripts.ts'
import type { Bull } from './load-bull.ts'
import type { Outage } from './outage.ts'
import type { QueueSettings } from '../queue.ts'

/** What the queue and its worker share. */
export interface BullParts {
  /** Loaded when the queue is opened. */
  bull: Bull
  /** Fails fast; for all that does not block. */
  client: Redis
  /** `appId()` of the app. */
  app: string
  settings: QueueSettings
  outage: Outage
  scripts: BullScripts
}

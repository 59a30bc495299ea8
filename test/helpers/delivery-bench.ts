import Fastify from 'fastify'
import type { Test } from 'tap'
import { openDelivery, type Delivery, type DeliveryQueue } from '../../src/delivery/open-delivery.ts'
import { completeDelivery } from '../../src/delivery/delivery-options.ts'
import { LifecycleHookRegistry } from '../../src/delivery/lifecycle-hooks.ts'
import { PairCheck } from '../../src/delivery/lifecycle/pair-check.ts'
import { inboundEventOf, type QueueOptions } from '../../src/delivery/inbound-event.ts'
import { HandlerRegistry } from '../../src/events/handlers.ts'
import type { HandlerContext } from '../../src/index.ts'
import type { InstallStore } from '../../src/storage/install-store.ts'
import { WebhookTokens } from '../../src/installs/application-token.ts'
import { UnverifiedLimiter } from '../../src/delivery/unverified-limiter.ts'
import { AppCredentials } from '../../src/oauth/app-credentials.ts'
import { createEncryptor } from '../../src/oauth/encryption.ts'
import { createPageUserFetcher } from '../../src/portal/rest/page-user.ts'
import { RestTransport } from '../../src/portal/rest/rest-transport.ts'
import { Portals } from '../../src/portal/portal.ts'
import { LazyAbortController } from '../../src/async/abort.ts'
import type { PendingInstalls } from '../../src/storage/pending-installs.ts'
import type { DeadEvent, Processor, QueuedEvent, Run } from '../../src/storage/queued-event.ts'
import { createSimulator, type Simulator } from '../../src/testing/index.ts'
import type { Envelope } from '../../src/wire/envelope.ts'
import { endSimulator } from './end-simulator.ts'
import { secret } from './secrets.ts'
import { openTestStorage } from './test-storage.ts'

export interface Bench {
  process: Processor
  delivery: Delivery
  handlers: HandlerRegistry<HandlerContext>
  store: InstallStore
  pendingInstalls: PendingInstalls
  b24: Simulator
  encryptor: ReturnType<typeof createEncryptor>
  dead: unknown[]
  reportDead: (dead: DeadEvent) => void
  /** Messages of what was logged as a warning or worse. */
  warnings: string[]
  added: QueuedEvent[]
  queue: DeliveryQueue
}

/** The delivery with its parts in hand: the queue is this test, which hands out one run at a time. */
export async function bench (t: Test, { store: own, webhooks = [] }: { store?: InstallStore, webhooks?: Array<{ memberId: string, applicationToken: string }> } = {}): Promise<Bench> {
  const [clientId, clientSecret] = ['local.processor', secret()]
  const b24 = await createSimulator({ clientId, clientSecret })
  const { installs, pendingInstalls } = await openTestStorage(t)
  const warnings: string[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: line => { warnings.push((JSON.parse(line) as { msg: string }).msg) } } } })
  t.teardown(() => endSimulator(b24))
  const handlers = new HandlerRegistry<HandlerContext>({ warn: () => {} })
  const lifecycleHooks = new LifecycleHookRegistry()
  const encryptor = createEncryptor([], clientSecret, clientId)
  const dead: unknown[] = []
  lifecycleHooks.add('onDeadLetter', ({ deadLetter }) => { dead.push(deadLetter) })
  const worker: { process?: Processor, onDead?: (dead: DeadEvent) => void } = {}
  const added: QueuedEvent[] = []
  const queue: DeliveryQueue = {
    deadLetters: { list: async () => ({ items: [] }), get: async () => undefined, replay: async () => false, discard: async () => false },
    add: async (event) => { added.push(event) },
    work: (process, { onDead }) => Object.assign(worker, { process, onDead }),
    counts: async () => ({ waiting: 0, active: 0, dead: 0 }),
    oldestWaitingAt: async () => undefined
  }
  const store = own ?? installs
  const transport = new RestTransport({ allowPrivateNetworks: true })
  t.teardown(() => transport.close())
  const limiter = new UnverifiedLimiter()
  const delivery = openDelivery({
    limiter,
    settings: completeDelivery({ concurrency: 4 }),
    store,
    webhooks: new WebhookTokens(webhooks),
    portals: new Portals({} as never),
    handlers,
    lifecycleHooks,
    encryptor,
    pairs: new PairCheck({
      limiter,
      encryptor,
      oauth: { allowedServers: [b24.oauthServer], clientId, clientSecret, keys: new AppCredentials({ clientId, clientSecret, log: app.log }) },
      fetchPageUser: createPageUserFetcher({ transport }),
      allowPrivateNetworks: true
    }),
    log: app.log,
    closing: new LazyAbortController(),
    pendingInstalls,
    queue
  })
  delivery.start()
  return { process: worker.process!, reportDead: worker.onDead!, delivery, handlers, store, pendingInstalls, b24, encryptor, dead, warnings, added, queue }
}

export function runOf (event: unknown, more: Partial<Run> = {}): Run {
  return { event, attempt: 1, coalesced: 1, progress: undefined, isAborted: false, signal: new AbortController().signal, save: async () => {}, ...more }
}

export function dealOf (memberId: string, token = 'made up'): Envelope {
  return { event: 'ONCRMDEALADD', data: { FIELDS: { ID: '7' } }, auth: { member_id: memberId, application_token: token, domain: 'acme.bitrix24.com' } }
}

export function queueOptions (more: Partial<QueueOptions> = {}): QueueOptions {
  return { id: 'event-1', receivedAt: Date.now(), ...more }
}

/** An ONAPPINSTALL as the simulator would post it. */
export async function installOf (b24: Simulator, age = 0) {
  const portal = b24.portal('acme.bitrix24.com')
  const pair = portal.issue({})
  const envelope: Envelope = {
    event: 'ONAPPINSTALL',
    data: { VERSION: '1' },
    ts: String(Math.floor((Date.now() - age) / 1000)),
    auth: {
      member_id: portal.memberId,
      application_token: portal.applicationToken,
      domain: portal.domain,
      server_endpoint: `${b24.oauthServer}/rest/`,
      access_token: pair.accessToken,
      refresh_token: pair.refreshToken
    }
  }
  return [inboundEventOf(envelope, '192.0.2.1'), portal] as const
}

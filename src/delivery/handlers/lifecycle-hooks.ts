import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_HOOK_UNSUPPORTED } from '../../errors.ts'
import { definitionOf } from '../../events/definitions.ts'
import type { Bitrix24Event } from '../../events/event.ts'
import { HandlerIds } from '../../events/registration.ts'
import { didYouMean } from '../../validation.ts'
import type { Portal, Portals } from '../../portal/portal.ts'
import type { PortalBlock } from '../../portal/rest/observed-limits.ts'
import type { PortalListener } from '../../portal/tokens/access-state.ts'
import type { InstallStore } from '../../storage/install-store.ts'
import type { DeadLetter } from '../dead-letters.ts'
import type { RejectReason } from '../receipt.ts'
import type { HandlerContext } from './run-handler.ts'

/** What each lifecycle hook is called with. */
export interface LifecycleHooks {
  /** A portal installed the app; the OAuth server confirmed it, and the install is stored. */
  onInstall: LifecycleHook<{ portal: Portal, reinstall: boolean }, HandlerContext>
  /** A portal runs another version of the app. */
  onUpdate: LifecycleHook<{ portal: Portal, version?: string | undefined, previousVersion?: string | undefined }, HandlerContext>
  /** A portal removed the app; `clean`: its user asked to delete the app's data too. The app has no rights there any more. */
  onUninstall: LifecycleHook<{ portal: Portal, clean: boolean }, HandlerContext>
  /** Bitrix24 made a system user for the app on this portal. */
  onUserReady: LifecycleHook<{ portal: Portal, userId?: number | undefined }, HandlerContext>
  /** A post was refused. Nobody waits for it, and it never holds a secret. */
  onReject: LifecycleHook<{ reason: RejectReason, memberId: string, event: string }>
  /** A handler or a lifecycle hook threw, or ran into its time limit. Nobody waits for it. */
  onHandlerError: LifecycleHook<HandlerFailure>
  /** No token of the portal is good any more: one of its admins has to open or install the app again. */
  onReauthRequired: LifecycleHook<{ portal: Portal }>
  /** The portal has to pay, or is gone: the app cannot act on it until it is back. */
  onSuspended: LifecycleHook<{ portal: Portal }>
  /**
   * The portal takes no calls, or not those of one method, until somebody acts: for `OVERLOAD_LIMIT` Bitrix24's support, for
   * `METHOD_CONFIRM_WAITING` an administrator of the portal. Events whose handlers fail for it wait. Each process tells it once, until a call succeeds.
   */
  onBlocked: LifecycleHook<{ portal: Portal, reason: string, method: string, retryAfterMs: number }>
  /** The portal has another address; its `memberId` stays. */
  onPortalRenamed: LifecycleHook<{ portal: Portal, from: string, to: string }>
  /**
   * A portal has as many bytes of events waiting as it may: its events are answered 503 until some are handled. Called once a minute for each portal;
   * `refused`: events since the start of this process.
   */
  onQuota: LifecycleHook<{ memberId: string, refused: number }>
  /** An event could not be handled, and is kept as a dead letter. Told in the process whose attempt was the last. */
  onDeadLetter: LifecycleHook<{ deadLetter: DeadLetter }>
}

/** What failed: a handler of `event`, or the lifecycle hook of the name `hook`. */
export type HandlerFailure = { error: Error, portal: Portal } & (
  { event: Bitrix24Event, hook?: never } | { hook: Exclude<LifecycleHookName, NotificationHookName>, event?: never }
)

export type LifecycleHook<Fact, Context = LifecycleContext> = (fact: Fact, context: Context) => unknown
export type LifecycleHookName = keyof LifecycleHooks
/** Hooks that hear of what is decided already. */
type NotificationHookName = 'onReject' | 'onHandlerError' | 'onReauthRequired' | 'onSuspended' | 'onBlocked' | 'onPortalRenamed' | 'onQuota' | 'onDeadLetter'
export type LifecycleFact<N extends LifecycleHookName> = Parameters<LifecycleHooks[N]>[0]

/** A lifecycle hook to run, and what to tell it beside the portal. Plain JSON. */
export type HookCall = {
  [N in AwaitedHookName]: { hook: N, fact: Omit<LifecycleFact<N>, 'portal'> }
}[AwaitedHookName]

type AwaitedHookName = 'onInstall' | 'onUpdate' | 'onUninstall' | 'onUserReady'

export interface LifecycleContext {
  log: FastifyBaseLogger
}

export const HOOK_NAMES: readonly string[] = [
  'onInstall', 'onUpdate', 'onUninstall', 'onUserReady', 'onReject', 'onHandlerError', 'onReauthRequired', 'onSuspended', 'onBlocked', 'onPortalRenamed',
  'onQuota', 'onDeadLetter'
] satisfies LifecycleHookName[]

/** A hook as it was registered. */
export interface RegisteredHook<N extends LifecycleHookName> {
  /** The same in all processes of one program, whatever hooks come before it; no other of this name has it. */
  readonly id: string
  readonly hook: LifecycleHook<LifecycleFact<N>, Parameters<LifecycleHooks[N]>[1]>
}

/** The functions registered by `addHook`, in the order of registration. */
export class LifecycleHookRegistry {
  readonly #ids = new HandlerIds()
  readonly #hooks = new Map<string, Array<{ id: string, hook: LifecycleHook<never, never> }>>()

  /**
   * @param id made from the name and text of the function, unless it is given; a given one has a space, as no app can give it to a handler
   * @throws FST_B24_HOOK_UNSUPPORTED for an unknown name, or a hook that is no function
   */
  add<N extends LifecycleHookName> (name: N, hook: LifecycleHooks[N], id?: `${string} ${string}`): void {
    if (!HOOK_NAMES.includes(name)) throw new FST_B24_HOOK_UNSUPPORTED(`there is no '${String(name)}', only ${HOOK_NAMES.join(', ')}${hint(name)}`)
    if (typeof hook !== 'function') throw new FST_B24_HOOK_UNSUPPORTED(`'${name}' needs a function`)
    const others = this.#hooks.get(name) ?? []
    // One function may be registered twice, and runs twice.
    const twins = others.filter(other => other.hook === hook).length
    this.#hooks.set(name, [...others, { id: id ?? `${this.#ids.idOf(name, undefined, hook)}${twins === 0 ? '' : ` ${twins}`}`, hook }])
  }

  get<N extends LifecycleHookName> (name: N): ReadonlyArray<RegisteredHook<N>> {
    return (this.#hooks.get(name) ?? []) as Array<RegisteredHook<N>>
  }

  /** Runs the hooks of something that is decided already: a failing one is logged. Never rejects, so that nobody need wait. */
  async notify<N extends NotificationHookName> (name: N, fact: LifecycleFact<N>, context: LifecycleContext): Promise<void> {
    for (const { hook } of this.get(name)) {
      try {
        await hook(fact, context)
      } catch (error) {
        context.log.error({ err: error, hook: name }, 'lifecycle hook failed')
      }
    }
  }
}

function hint (name: unknown): string {
  if (typeof name !== 'string') return ''
  return definitionOf(name) === undefined ? didYouMean(name, HOOK_NAMES) : `; for events there is on('${name}', …)`
}

export interface PortalListenerParts {
  store: Pick<InstallStore, 'get'>
  lifecycleHooks: LifecycleHookRegistry
  /** Asked when there is news: who makes portals needs what tells of them. */
  portals: () => Portals
  log: FastifyBaseLogger
}

/** Tells the lifecycle hooks what became of a portal while the app acted on it. */
export function createPortalListener ({ store, lifecycleHooks, portals, log }: PortalListenerParts): PortalListener & { blocked (block: PortalBlock): void } {
  const tell = (memberId: string, hook: (portal: Portal) => Promise<void>): void => {
    store.get(memberId)
      .then(async stored => { if (stored !== undefined) await hook(portals().of(stored.install)) })
      .catch((error: unknown) => log.error({ err: error, memberId }, 'a hook could not be told'))
  }
  return {
    blocked: ({ memberId, ...block }) => {
      log.warn({ memberId, ...block }, 'portal takes no calls until somebody acts')
      tell(memberId, async portal => await lifecycleHooks.notify('onBlocked', { portal, ...block }, { log }))
    },
    reauthRequired: memberId => tell(memberId, async portal => await lifecycleHooks.notify('onReauthRequired', { portal }, { log })),
    suspended: memberId => tell(memberId, async portal => await lifecycleHooks.notify('onSuspended', { portal }, { log })),
    renamed: (memberId, from, to) => tell(memberId, async portal => await lifecycleHooks.notify('onPortalRenamed', { portal, from, to }, { log }))
  }
}

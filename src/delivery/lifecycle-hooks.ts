import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_HOOK_UNSUPPORTED } from '../errors.ts'
import { definitionOf } from '../events/definitions.ts'
import type { Bitrix24Event } from '../events/event.ts'
import { HandlerIds } from '../events/registration.ts'
import { didYouMean } from '../validation.ts'
import type { Portal, Portals } from '../portal/portal.ts'
import type { PortalBlock } from '../portal/rest/observed-limits.ts'
import type { PortalListener } from '../portal/tokens/access-state.ts'
import type { InstallStore } from '../storage/install-store.ts'
import type { DeadLetter } from './dead-letters.ts'
import type { RejectReason } from './receive-outcome.ts'
import type { HandlerContext } from './run-handler.ts'

/** Lifecycle hooks with their arguments. */
export interface LifecycleHooks {
  /** A portal installed the app. The install is verified by the OAuth server, and stored. */
  onInstall: LifecycleHook<{ portal: Portal, reinstall: boolean }, HandlerContext>
  /** A portal runs another version of the app. */
  onUpdate: LifecycleHook<{ portal: Portal, version?: string | undefined, previousVersion?: string | undefined }, HandlerContext>
  /** A portal removed the app, whose tokens are revoked; `clean`: the user requested to delete the app's data too. */
  onUninstall: LifecycleHook<{ portal: Portal, clean: boolean }, HandlerContext>
  /** Bitrix24 created a system user for the app on this portal. */
  onUserReady: LifecycleHook<{ portal: Portal, userId?: number | undefined }, HandlerContext>
  /** A request was rejected. Not awaited; the argument contains no secret. */
  onReject: LifecycleHook<{ reason: RejectReason, memberId: string, event: string }>
  /** A handler or a lifecycle hook threw or timed out. Not awaited. */
  onHandlerError: LifecycleHook<HandlerFailure>
  /** The portal has no valid token left: one of its admins has to open or install the app again. */
  onReauthRequired: LifecycleHook<{ portal: Portal }>
  /** The portal's plan is unpaid or expired, or the portal is gone: calls fail until it is back. */
  onSuspended: LifecycleHook<{ portal: Portal }>
  /**
   * The portal rejects all calls, or those of one method, until someone acts: Bitrix24's support for `OVERLOAD_LIMIT`, an administrator of
   * the portal for `METHOD_CONFIRM_WAITING`. Events whose handlers fail because of it wait. Called once per process, until a call succeeds.
   */
  onBlocked: LifecycleHook<{ portal: Portal, reason: string, method: string, retryAfterMs: number }>
  /** The portal has a new address; its `memberId` is unchanged. */
  onPortalRenamed: LifecycleHook<{ portal: Portal, from: string, to: string }>
  /**
   * A portal exceeded its share of waiting events: its events are answered with 503 until some are handled. Called once a minute per portal;
   * `refused`: rejected events since the start of this process.
   */
  onQuota: LifecycleHook<{ memberId: string, refused: number }>
  /** An event failed and became a dead letter. Called in the process of the last attempt. */
  onDeadLetter: LifecycleHook<{ deadLetter: DeadLetter }>
}

/** A failed handler of `event`, or the failed lifecycle hook named `hook`. */
export type HandlerFailure = { error: Error, portal: Portal } & (
  { event: Bitrix24Event, hook?: never } | { hook: Exclude<LifecycleHookName, NotificationHookName>, event?: never }
)

export type LifecycleHook<Fact, Context = LifecycleContext> = (fact: Fact, context: Context) => unknown
export type LifecycleHookName = keyof LifecycleHooks
/** Hooks that are not awaited and cannot fail an event. */
type NotificationHookName = 'onReject' | 'onHandlerError' | 'onReauthRequired' | 'onSuspended' | 'onBlocked' | 'onPortalRenamed' | 'onQuota' | 'onDeadLetter'
export type LifecycleFact<N extends LifecycleHookName> = Parameters<LifecycleHooks[N]>[0]

/** A lifecycle hook to run, with its argument except for the portal. Plain JSON. */
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

export interface RegisteredHook<N extends LifecycleHookName> {
  /** The same in all processes of a program, unique among the hooks of its name. */
  readonly id: string
  readonly hook: LifecycleHook<LifecycleFact<N>, Parameters<LifecycleHooks[N]>[1]>
}

/** Hooks registered with `addHook`, in order of registration. */
export class LifecycleHookRegistry {
  readonly #ids = new HandlerIds()
  readonly #hooks = new Map<string, Array<{ id: string, hook: LifecycleHook<never, never> }>>()

  /**
   * @param id derived from the name and source text of the function by default; contains a space, which ids of handlers cannot
   * @throws FST_B24_HOOK_UNSUPPORTED for an unknown name or a hook that is not a function
   */
  add<N extends LifecycleHookName> (name: N, hook: LifecycleHooks[N], id?: `${string} ${string}`): void {
    if (!HOOK_NAMES.includes(name)) throw new FST_B24_HOOK_UNSUPPORTED(`'${String(name)}' is not one of ${HOOK_NAMES.join(', ')}${hint(name)}`)
    if (typeof hook !== 'function') throw new FST_B24_HOOK_UNSUPPORTED(`'${name}' must be a function`)
    const others = this.#hooks.get(name) ?? []
    // A function that is registered twice runs twice.
    const twins = others.filter(other => other.hook === hook).length
    this.#hooks.set(name, [...others, { id: id ?? `${this.#ids.idOf(name, undefined, hook)}${twins === 0 ? '' : ` ${twins}`}`, hook }])
  }

  get<N extends LifecycleHookName> (name: N): ReadonlyArray<RegisteredHook<N>> {
    return (this.#hooks.get(name) ?? []) as Array<RegisteredHook<N>>
  }

  /** Runs notification hooks, and logs failures. Never rejects, so callers need not await it. */
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
  return definitionOf(name) === undefined ? didYouMean(name, HOOK_NAMES) : `; for events use on('${name}', …)`
}

export interface PortalListenerParts {
  store: Pick<InstallStore, 'get'>
  lifecycleHooks: LifecycleHookRegistry
  /** A function, since portals are created after the listener. */
  portals: () => Portals
  log: FastifyBaseLogger
}

/** Creates a listener that calls lifecycle hooks when the state of a portal changes. */
export function createPortalListener ({ store, lifecycleHooks, portals, log }: PortalListenerParts): PortalListener & { blocked (block: PortalBlock): void } {
  const notify = (memberId: string, hook: (portal: Portal) => Promise<void>): void => {
    store.get(memberId)
      .then(async stored => { if (stored !== undefined) await hook(portals().of(stored.install)) })
      .catch((error: unknown) => log.error({ err: error, memberId }, 'failed to run lifecycle hook'))
  }
  return {
    blocked: ({ memberId, ...block }) => {
      log.warn({ memberId, ...block }, 'portal rejects calls until manual action')
      notify(memberId, async portal => await lifecycleHooks.notify('onBlocked', { portal, ...block }, { log }))
    },
    reauthRequired: memberId => notify(memberId, async portal => await lifecycleHooks.notify('onReauthRequired', { portal }, { log })),
    suspended: memberId => notify(memberId, async portal => await lifecycleHooks.notify('onSuspended', { portal }, { log })),
    renamed: (memberId, from, to) => notify(memberId, async portal => await lifecycleHooks.notify('onPortalRenamed', { portal, from, to }, { log }))
  }
}

import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_HOOK_UNSUPPORTED } from '../errors.ts'
import type { Bitrix24Event } from '../events/event.ts'
import type { Portal } from '../portal/portal.ts'
import type { DeadLetter } from './dead-letters.ts'
import type { HandlerContext } from './handler-context.ts'
import type { RejectReason } from './reject-reason.ts'

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
  /** The portal has another address; its `memberId` stays. */
  onPortalRenamed: LifecycleHook<{ portal: Portal, from: string, to: string }>
  /** An event could not be handled, and is kept as a dead letter. Told in the process whose attempt was the last. */
  onDeadLetter: LifecycleHook<{ letter: DeadLetter }>
}

/** What failed: a handler of `event`, or the lifecycle hook of the name `hook`. */
export type HandlerFailure = { error: Error, portal: Portal } & (
  { event: Bitrix24Event, hook?: never } | { hook: Exclude<LifecycleHookName, ToldHookName>, event?: never }
)

export type LifecycleHook<Fact, Context = LifecycleContext> = (fact: Fact, context: Context) => unknown
export type LifecycleHookName = keyof LifecycleHooks
/** Hooks that hear of what is decided already. */
type ToldHookName = 'onReject' | 'onHandlerError' | 'onReauthRequired' | 'onSuspended' | 'onPortalRenamed' | 'onDeadLetter'
export type LifecycleFact<N extends LifecycleHookName> = Parameters<LifecycleHooks[N]>[0]

export interface LifecycleContext {
  log: FastifyBaseLogger
}

const NAMES: readonly string[] = [
  'onInstall', 'onUpdate', 'onUninstall', 'onUserReady', 'onReject', 'onHandlerError', 'onReauthRequired', 'onSuspended', 'onPortalRenamed',
  'onDeadLetter'
] satisfies LifecycleHookName[]

/** The functions registered by `addHook`, in the order of registration. */
export class LifecycleHookList {
  readonly #hooks = new Map<string, Array<LifecycleHook<never, never>>>()

  /** @throws FST_B24_HOOK_UNSUPPORTED for an unknown name, or a hook that is no function */
  add<N extends LifecycleHookName> (name: N, hook: LifecycleHooks[N]): void {
    if (!NAMES.includes(name)) throw new FST_B24_HOOK_UNSUPPORTED(`there is no '${String(name)}', only ${NAMES.join(', ')}`)
    if (typeof hook !== 'function') throw new FST_B24_HOOK_UNSUPPORTED(`'${name}' needs a function`)
    this.#hooks.set(name, [...this.get(name), hook])
  }

  get<N extends LifecycleHookName> (name: N): ReadonlyArray<LifecycleHook<LifecycleFact<N>, Parameters<LifecycleHooks[N]>[1]>> {
    return (this.#hooks.get(name) ?? []) as Array<LifecycleHook<LifecycleFact<N>, Parameters<LifecycleHooks[N]>[1]>>
  }

  /** Runs the hooks of something that is decided already: a failing one is logged. Never rejects, so that nobody need wait. */
  async tell<N extends ToldHookName> (name: N, fact: LifecycleFact<N>, context: LifecycleContext): Promise<void> {
    for (const hook of this.get(name)) {
      try {
        await hook(fact, context)
      } catch (error) {
        context.log.error({ err: error, hook: name }, 'lifecycle hook failed')
      }
    }
  }
}

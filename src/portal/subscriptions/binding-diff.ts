import { isLeftAlone, type WantedEvent } from './wanted-events.ts'
import { scalarText } from '../../validation.ts'

/** What a portal says is bound. */
export interface PortalBinding {
  event: string
  /** Empty for one that waits in a queue. */
  handler: string
  /** 0: whoever causes the event. */
  userId: number
  offline: boolean
  connector: string
}

/** One call of `event.bind` or `event.unbind`. */
export interface BindingChange extends PortalBinding {
  method: 'event.bind' | 'event.unbind'
}

export interface Difference {
  binds: BindingChange[]
  /** Not to be made where the bind of the same event was refused: rather the old binding than none. */
  unbinds: BindingChange[]
  unchanged: number
}

/** Which of a portal's bindings are ours. */
export interface Ownership {
  handlerUrl: string
  /** Addresses that were ours before: nothing is to stay bound to them. */
  formerUrls?: readonly string[]
  /** Queue whose bindings are ours; `undefined`: none is. */
  connector: string | undefined
  /** Portal user in whose name everything is bound, as they may bind for nobody else. */
  boundUser: number | undefined
}

/** Reads the result of `event.get`; what is no binding is left out. */
export function readBindings (result: unknown): PortalBinding[] {
  return (Array.isArray(result) ? result : []).flatMap((row: unknown) => {
    const { event, handler, auth_type: userId, offline, connector_id: connector } = (row ?? {}) as Record<string, unknown>
    if (typeof event !== 'string') return []
    return [{
      event: event.toUpperCase(),
      handler: scalarText(handler),
      userId: Number(scalarText(userId)),
      offline: Number(scalarText(offline)) === 1,
      connector: scalarText(connector)
    }]
  })
}

/** Tells whether the bindings are in another user's name than is wanted, which may be because the caller is no admin. */
export function isForeignName (wanted: readonly WantedEvent[], bindings: readonly PortalBinding[], handlerUrl: string): boolean {
  return wanted.some(({ event, offline, authType }) => {
    if (offline === true || authType !== undefined) return false
    const own = bindings.filter(binding => binding.event === event && isOnlineAt(binding, handlerUrl))
    return own.length > 0 && own.every(({ userId }) => userId !== 0)
  })
}

/** What has to be bound and unbound, so that our bindings are those that are wanted. */
export function diffBindings (wanted: readonly WantedEvent[], bindings: readonly PortalBinding[], { handlerUrl, formerUrls = [], connector, boundUser = 0 }: Ownership): Difference {
  const targets = wanted.map(({ event, offline = false, authType = boundUser, authConnector = '' }) => (
    offline ? { event, handler: '', userId: 0, offline, connector: authConnector } : { event, handler: handlerUrl, userId: authType, offline, connector: '' }
  ))
  const own = bindings.filter(({ event, ...binding }) => !isLeftAlone(event) && (binding.offline ? binding.connector === connector : binding.handler === handlerUrl || formerUrls.includes(binding.handler)))
  const missing = targets.filter(target => !own.some(binding => isSame(binding, target)))
  const unwanted = own.filter(binding => !targets.some(target => isSame(binding, target)))
  return {
    binds: missing.map(target => ({ ...target, method: 'event.bind' })),
    unbinds: unwanted.map(binding => ({ ...binding, method: 'event.unbind' })),
    unchanged: targets.length - missing.length
  }
}

function isOnlineAt ({ offline, handler }: PortalBinding, handlerUrl: string): boolean {
  return !offline && handler === handlerUrl
}

function isSame (a: PortalBinding, b: PortalBinding): boolean {
  return a.event === b.event && a.offline === b.offline && (a.offline ? a.connector === b.connector : a.userId === b.userId && a.handler === b.handler)
}

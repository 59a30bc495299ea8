import type { CallOptions } from '../rest/call-options.ts'
import type { Rest } from '../rest/rest.ts'
import { isBoundElsewhere, type WantedEvent } from './wanted-events.ts'
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
export function isBoundAsUser (wanted: readonly WantedEvent[], bindings: readonly PortalBinding[], handlerUrl: string): boolean {
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
  const own = bindings.filter(({ event, ...binding }) => !isBoundElsewhere(event) && (binding.offline ? binding.connector === connector : binding.handler === handlerUrl || formerUrls.includes(binding.handler)))
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

/** Why a portal does not make a change; `code` is Bitrix24's own. */
export interface RefusedEvent {
  event: string
  code: string
}

/** What became of some changes. */
export interface ChangeOutcome {
  made: BindingChange[]
  refused: Array<{ change: BindingChange, code: string }>
}

/** Calls that Bitrix24 takes in one. */
const MAX_COMMANDS = 50
/** The code where `event.bind` answers false and no more. */
const NOT_BOUND = 'NOT_BOUND'

interface CommandError {
  error?: unknown
  error_description?: unknown
}

/** Makes changes of a portal's bindings, up to fifty with one call. */
export async function makeChanges (rest: Pick<Rest, 'call'>, memberId: string, changes: readonly BindingChange[], options: CallOptions): Promise<ChangeOutcome> {
  const outcome: ChangeOutcome = { made: [], refused: [] }
  for (const batch of batchesOf(changes)) {
    const answer = await callBatch(rest, memberId, batch, options)
    for (const [index, change] of batch.entries()) {
      const code = refusalOf(answer, nameOf(index))
      if (code === undefined) outcome.made.push(change)
      else outcome.refused.push({ change, code })
    }
  }
  return outcome
}

/** The connector is a matter of the whole call, so that each has a batch of its own. */
function batchesOf (changes: readonly BindingChange[]): BindingChange[][] {
  const connectors = new Set(changes.map(({ connector }) => connector))
  return [...connectors].flatMap(connector => {
    const own = changes.filter(change => change.connector === connector)
    return Array.from({ length: Math.ceil(own.length / MAX_COMMANDS) }, (_, page) => own.slice(page * MAX_COMMANDS, (page + 1) * MAX_COMMANDS))
  })
}

async function callBatch (rest: Pick<Rest, 'call'>, memberId: string, batch: readonly BindingChange[], options: CallOptions): Promise<Record<string, unknown>> {
  const [{ connector }] = batch as [BindingChange]
  const cmd = Object.fromEntries(batch.map((change, index) => [nameOf(index), commandOf(change)]))
  try {
    return await rest.call(memberId, 'batch', { halt: 0, cmd, ...(connector !== '' && { auth_connector: connector }) }, options)
  } catch (error) {
    const { portalCode } = error as { portalCode?: string }
    // What the plan has not, it has for no change.
    if (portalCode?.toUpperCase() !== 'WRONG_LICENSE') throw error
    return { result_error: Object.fromEntries(batch.map((_, index) => [nameOf(index), { error: portalCode }])) }
  }
}

function commandOf ({ method, event, handler, userId, offline, connector }: BindingChange): string {
  const params = new URLSearchParams({ event })
  if (offline) {
    params.set('event_type', 'offline')
    if (connector !== '') params.set('auth_connector', connector)
  } else {
    params.set('handler', handler)
    // Without it an unbind would be one for the bindings of all users.
    if (userId !== 0 || method === 'event.unbind') params.set('auth_type', String(userId))
  }
  return `${method}?${params}`
}

/** Where nothing failed, PHP's empty map is a list. */
function refusalOf ({ result, result_error: errors }: Record<string, unknown>, name: string): string | undefined {
  const { error, error_description: description } = (errors as Record<string, CommandError> | undefined)?.[name] ?? {}
  if (error === undefined) return (result as Record<string, unknown> | undefined)?.[name] === false ? NOT_BOUND : undefined
  // The handler is bound, or another process is about to do it.
  if (scalarText(error).toUpperCase() === 'ERROR_CORE' && /\balready\b/i.test(scalarText(description))) return undefined
  return scalarText(error).slice(0, 100)
}

/** No name may look like an index: PHP would make a list of them. */
function nameOf (index: number): string {
  return `c${index}`
}

import type { CallOptions } from '../rest/call-arguments.ts'
import type { Rest } from '../rest/rest.ts'
import { isBoundElsewhere, type WantedEvent } from './wanted-events.ts'
import { scalarText } from '../../validation.ts'

/** An event binding of a portal. */
export interface PortalBinding {
  event: string
  /** Empty for an offline binding. */
  handler: string
  /** User whose token comes with the event; 0 for the user who caused it. */
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
  /** Skipped for events whose bind was refused: an old binding is better than none. */
  unbinds: BindingChange[]
  unchanged: number
}

/** Decides which bindings of a portal belong to this app. */
export interface BindingOwner {
  handlerUrl: string
  /** Former handler URLs, whose bindings are to be removed. */
  formerUrls?: readonly string[]
  /** Offline queue of this app; `undefined` if it has none. */
  connector: string | undefined
  /** Set if the caller is not an admin and can bind only in their own name. */
  boundUser: number | undefined
}

/** Parses the result of `event.get`, skipping malformed rows. */
export function parseBindings (result: unknown): PortalBinding[] {
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

/** Returns whether existing bindings are bound to a user instead of everyone, as when the caller was not an admin. */
export function isBoundAsUser (wanted: readonly WantedEvent[], bindings: readonly PortalBinding[], handlerUrl: string): boolean {
  return wanted.some(({ event, offline, authType }) => {
    if (offline === true || authType !== undefined) return false
    const own = bindings.filter(binding => binding.event === event && isOnlineAt(binding, handlerUrl))
    return own.length > 0 && own.every(({ userId }) => userId !== 0)
  })
}

/** Compares actual with wanted bindings. */
export function diffBindings (wanted: readonly WantedEvent[], bindings: readonly PortalBinding[], { handlerUrl, formerUrls = [], connector, boundUser = 0 }: BindingOwner): Difference {
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

/** An event whose change the portal refused; `code` is Bitrix24's. */
export interface RefusedEvent {
  event: string
  code: string
}

export interface ChangeOutcome {
  applied: BindingChange[]
  refused: Array<{ change: BindingChange, code: string }>
}

/** Bitrix24's limit per batch. */
const MAX_COMMANDS = 50
/** Our code for an `event.bind` that returns false without an error. */
const NOT_BOUND = 'NOT_BOUND'

interface CommandError {
  error?: unknown
  error_description?: unknown
}

/** Applies binding changes in batches of up to 50. */
export async function applyChanges (rest: Pick<Rest, 'call'>, memberId: string, changes: readonly BindingChange[], options: CallOptions): Promise<ChangeOutcome> {
  const outcome: ChangeOutcome = { applied: [], refused: [] }
  for (const batch of batchesOf(changes)) {
    const response = await callBatch(rest, memberId, batch, options)
    for (const [index, change] of batch.entries()) {
      const code = refusalCode(response, commandName(index))
      if (code === undefined) outcome.applied.push(change)
      else outcome.refused.push({ change, code })
    }
  }
  return outcome
}

/** The connector applies to a whole batch, so each connector gets its own. */
function batchesOf (changes: readonly BindingChange[]): BindingChange[][] {
  const connectors = new Set(changes.map(({ connector }) => connector))
  return [...connectors].flatMap(connector => {
    const own = changes.filter(change => change.connector === connector)
    return Array.from({ length: Math.ceil(own.length / MAX_COMMANDS) }, (_, page) => own.slice(page * MAX_COMMANDS, (page + 1) * MAX_COMMANDS))
  })
}

async function callBatch (rest: Pick<Rest, 'call'>, memberId: string, batch: readonly BindingChange[], options: CallOptions): Promise<Record<string, unknown>> {
  const [{ connector }] = batch as [BindingChange]
  const cmd = Object.fromEntries(batch.map((change, index) => [commandName(index), commandOf(change)]))
  try {
    return await rest.call(memberId, 'batch', { halt: 0, cmd, ...(connector !== '' && { auth_connector: connector }) }, options)
  } catch (error) {
    const { portalCode } = error as { portalCode?: string }
    // The plan lacks the feature, so every change of the batch is refused.
    if (portalCode?.toUpperCase() !== 'WRONG_LICENSE') throw error
    return { result_error: Object.fromEntries(batch.map((_, index) => [commandName(index), { error: portalCode }])) }
  }
}

function commandOf ({ method, event, handler, userId, offline, connector }: BindingChange): string {
  const params = new URLSearchParams({ event })
  if (offline) {
    params.set('event_type', 'offline')
    if (connector !== '') params.set('auth_connector', connector)
  } else {
    params.set('handler', handler)
    // Without it, unbind removes the bindings of all users.
    if (userId !== 0 || method === 'event.unbind') params.set('auth_type', String(userId))
  }
  return `${method}?${params}`
}

/** Returns the error code of a command; `undefined` on success. */
function refusalCode ({ result, result_error: errors }: Record<string, unknown>, name: string): string | undefined {
  const { error, error_description: description } = (errors as Record<string, CommandError> | undefined)?.[name] ?? {}
  if (error === undefined) return (result as Record<string, unknown> | undefined)?.[name] === false ? NOT_BOUND : undefined
  // Already bound, or being bound by another process.
  if (scalarText(error).toUpperCase() === 'ERROR_CORE' && /\balready\b/i.test(scalarText(description))) return undefined
  return scalarText(error).slice(0, 100)
}

/** Names must not look like indexes: PHP would make a list of them. */
function commandName (index: number): string {
  return `c${index}`
}

import { definitionOf, itemOf } from '../events/definitions.ts'
import { createEvent } from '../events/event.ts'
import type { HandlerRegistry } from '../events/handlers.ts'
import type { TokenDigest } from '../installs/install.ts'
import type { InstallFact } from '../installs/install-transitions.ts'
import type { Encryptor } from '../oauth/encryption.ts'
import type { QueuedEvent } from '../storage/queued-event.ts'
import type { Envelope } from '../wire/envelope.ts'
import { restoreSecrets, type Secret, extractSecrets } from '../wire/redact.ts'
import type { Post } from './post.ts'

/** Changes when what is queued can no longer be read by an older version. */
const FORMAT = 1

/** What the queue keeps of a post. */
export interface QueuedPayload {
  v: typeof FORMAT
  /** Without any secret; the `application_token` is nowhere. */
  envelope: Envelope
  /** Secrets of the envelope, encrypted, with their places. */
  encrypted?: string
  /** Digest of the `application_token`, where it is still to be judged. */
  token?: TokenDigest
  /** Nothing verifies it yet: its install is pending. */
  held?: true
  /** What an install page proved; its pair is encrypted. */
  facts?: InstallFact[]
  /** Sender's address, where a check is to come. */
  ip?: string
}

export interface Keeping {
  id: string
  receivedAt: number
  group?: string | undefined
  key?: string | undefined
  coalesce?: boolean
  isPriority?: boolean
  /** The `auth` tokens are needed by who handles it: a lifecycle event. */
  lifecycle?: boolean
  held?: boolean
}

/** The part of the handlers that says how their events are ordered. */
export type EventOrder = Pick<HandlerRegistry<never>, 'coalesces' | 'keyOf'>

/** What orders an event among those of its portal: the item that it is about, or what a handler's `key` makes of it. */
export function orderOf (envelope: Envelope, handlers: EventOrder, coalesce: boolean): Pick<Keeping, 'key' | 'coalesce'> {
  const { event, data } = envelope
  const definition = definitionOf(event)
  if (definition?.item !== undefined) return { key: itemOf(definition, data), coalesce: coalesce && definition.content !== true && handlers.coalesces(event) }
  const key = handlers.keyOf(event, () => createEvent(envelope).event)
  return { key: key === undefined ? undefined : `key:${key}` }
}

/** Makes of a post what the queue keeps. */
export function stow ({ envelope, token, ip, facts }: Post, encryptor: Encryptor, { id, receivedAt, group, key, coalesce = false, isPriority = false, lifecycle = false, held = false }: Keeping): QueuedEvent {
  const memberId = envelope.auth.member_id
  const { rest, secrets } = extractSecrets(envelope)
  const kept = secrets.filter(([path]) => isWanted(path, lifecycle))
  const payload: QueuedPayload = {
    v: FORMAT,
    envelope: rest,
    ...(kept.length > 0 && { encrypted: encryptor.encryptText(JSON.stringify(kept), memberId) }),
    ...((lifecycle || held) && { ip, ...(token !== undefined && { token }) }),
    ...(held && { held }),
    ...(facts !== undefined && { facts })
  }
  return {
    id,
    memberId,
    code: envelope.event.toUpperCase(),
    receivedAt,
    ...(group !== undefined && { group }),
    ...(isPriority && { isPriority }),
    ...(key !== undefined && { key, ...(coalesce && { coalesce }) }),
    payload
  }
}

/** The tokens in `auth` of an ordinary event are the acting user's, and nobody asks for them. */
function isWanted (path: string[], lifecycle: boolean): boolean {
  return path.at(-1)?.toLowerCase() !== 'application_token' && (lifecycle || path[0] !== 'auth')
}

/**
 * Makes the post again.
 * @throws FST_B24_DECRYPTION_FAILED
 */
export function unstow ({ memberId }: QueuedEvent, { envelope, encrypted, token, ip = '', facts }: QueuedPayload, encryptor: Encryptor): Post {
  const known = { token, ip, ...(facts !== undefined && { facts }) }
  if (encrypted === undefined) return { envelope, ...known }
  // What was found is written back as it is when the event is put off: it must never hold what was encrypted.
  const opened = structuredClone(envelope)
  restoreSecrets(opened, JSON.parse(encryptor.decryptText(encrypted, memberId)) as Secret[])
  return { envelope: opened, ...known }
}

/** Payload of what was found in the queue, or `undefined` when this version cannot have written it. */
export function payloadOf (found: unknown): QueuedPayload | undefined {
  const event = found as Partial<QueuedEvent> | null
  const payload = event?.payload as Partial<QueuedPayload> | null | undefined
  if (typeof event?.id !== 'string' || typeof event.memberId !== 'string' || typeof event.receivedAt !== 'number') return undefined
  if (payload?.v !== FORMAT || payload.envelope?.auth?.member_id !== event.memberId || typeof payload.envelope.event !== 'string') return undefined
  return payload as QueuedPayload
}

/** Documented name of an event with this code; the code itself where there is none. */
export function nameOfCode (code: string): string {
  return definitionOf(code)?.name ?? code
}

import { digestOfSent } from '../installs/application-token.ts'
import type { PendingInstall } from '../storage/pending-installs.ts'
import type { TokenDigest } from '../installs/install.ts'
import type { InstallFact } from '../installs/install-transitions.ts'
import type { Envelope } from '../wire/envelope.ts'
import { definitionOf, itemOf } from '../events/definitions.ts'
import { createEvent } from '../events/event.ts'
import type { HandlerRegistry } from '../events/handlers.ts'
import type { Encryptor } from '../oauth/encryption.ts'
import type { QueuedEvent } from '../storage/queued-event.ts'
import { restoreSecrets, type Secret, extractSecrets } from '../wire/redact.ts'

/** What was posted: the body, the digest of its `application_token`, and the IP address it came from. */
export interface InboundEvent {
  envelope: Envelope
  token: TokenDigest | undefined
  ip: string
  /** What was proved already: the event is that of an install page, and its event is told to nobody. */
  facts?: InstallFact[]
}

export function inboundEventOf (envelope: Envelope, ip: string): InboundEvent {
  return { envelope, token: digestOfSent(envelope.auth.application_token), ip }
}

/** What an event says of its portal, be it true or not. */
export function pendingInstallOf ({ envelope, token = '' }: InboundEvent): PendingInstall {
  return { memberId: envelope.auth.member_id, token }
}

/** Changes when what is queued can no longer be read by an older version. */
const FORMAT = 1

/** What the queue keeps of an event. */
export interface QueuedPayload {
  v: typeof FORMAT
  /** Without any secret; the `application_token` is nowhere. */
  envelope: Envelope
  /** Secrets of the envelope, encrypted, with their places. */
  encrypted?: string
  /** Digest of the `application_token`, where it is still to be judged. */
  token?: TokenDigest
  /** Nothing verifies it yet: its install is pending. */
  quarantined?: true
  /** What an install page proved; its pair is encrypted. */
  facts?: InstallFact[]
  /** Sender's address, where a check is to come. */
  ip?: string
}

export interface QueueOptions {
  id: string
  receivedAt: number
  group?: string | undefined
  key?: string | undefined
  coalesce?: boolean
  isPriority?: boolean
  /** The `auth` tokens are needed by who handles it: a lifecycle event. */
  lifecycle?: boolean
  quarantined?: boolean
}

/** The part of the handlers that says how their events are ordered. */
export type EventOrder = Pick<HandlerRegistry<never>, 'coalesces' | 'keyOf'>

/** What orders an event among those of its portal: the item that it is about, or what a handler's `key` makes of it. */
export function orderOf (envelope: Envelope, handlers: EventOrder, coalesce: boolean): Pick<QueueOptions, 'key' | 'coalesce'> {
  const { event, data } = envelope
  const definition = definitionOf(event)
  if (definition?.item !== undefined) return { key: itemOf(definition, data), coalesce: coalesce && definition.content !== true && handlers.coalesces(event) }
  const key = handlers.keyOf(event, () => createEvent(envelope).event)
  return { key: key === undefined ? undefined : `key:${key}` }
}

/** Makes of an event what the queue keeps. */
export function toQueuedEvent ({ envelope, token, ip, facts }: InboundEvent, encryptor: Encryptor, { id, receivedAt, group, key, coalesce = false, isPriority = false, lifecycle = false, quarantined = false }: QueueOptions): QueuedEvent {
  const memberId = envelope.auth.member_id
  const { rest, secrets } = extractSecrets(envelope)
  const kept = secrets.filter(([path]) => isWanted(path, lifecycle))
  const payload: QueuedPayload = {
    v: FORMAT,
    envelope: rest,
    ...(kept.length > 0 && { encrypted: encryptor.encryptText(JSON.stringify(kept), memberId) }),
    ...((lifecycle || quarantined) && { ip, ...(token !== undefined && { token }) }),
    ...(quarantined && { quarantined }),
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
 * Makes the event again.
 * @throws FST_B24_DECRYPTION_FAILED
 */
export function fromQueuedEvent ({ memberId }: QueuedEvent, { envelope, encrypted, token, ip = '', facts }: QueuedPayload, encryptor: Encryptor): InboundEvent {
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

import { definitionOf } from '../events/definitions.ts'
import { digestOfSent } from '../installs/application-token.ts'
import type { InstallFact } from '../installs/install-transitions.ts'
import type { TokenDigest } from '../installs/install.ts'
import type { Encryptor } from '../oauth/encryption.ts'
import type { PendingInstall } from '../storage/pending-installs.ts'
import type { QueuedEvent } from '../storage/queued-event.ts'
import type { Envelope } from '../wire/envelope.ts'
import { extractSecrets, restoreSecrets, type Secret } from '../wire/redact.ts'

/** A received event: its body, the digest of its `application_token`, and the IP address of its sender. */
export interface InboundEvent {
  envelope: Envelope
  token: TokenDigest | undefined
  ip: string
  /** Verified facts of a request to the install page. Such an event runs lifecycle hooks but no handlers. */
  facts?: InstallFact[]
}

export function inboundEventOf (envelope: Envelope, ip: string): InboundEvent {
  return { envelope, token: digestOfSent(envelope.auth.application_token), ip }
}

/** Returns the portal and token that an event names, verified or not. */
export function pendingInstallOf ({ envelope, token = '' }: InboundEvent): PendingInstall {
  return { memberId: envelope.auth.member_id, token }
}

/** Incremented when older versions can no longer read queued events. */
const FORMAT = 1

/** An inbound event as stored in the queue. */
export interface QueuedPayload {
  v: typeof FORMAT
  /** Contains no secret, nor the `application_token`. */
  envelope: Envelope
  /** Secrets of the envelope with their paths, encrypted. */
  encrypted?: string
  /** Digest of the `application_token`, if it has yet to be verified. */
  token?: TokenDigest
  /** The event is unverified, because its install is pending. */
  quarantined?: true
  /** Verified facts of the install page; their token pair is encrypted. */
  facts?: InstallFact[]
  /** Address of the sender, if the event has yet to be verified. */
  ip?: string
}

export interface QueueOptions {
  id: string
  receivedAt: number
  group?: string | undefined
  key?: string | undefined
  coalesce?: boolean
  isPriority?: boolean
  /** The event is a lifecycle event, whose processing needs the tokens in `auth`. */
  lifecycle?: boolean
  quarantined?: boolean
}

/** Serializes an event for the queue. Its secrets are encrypted or removed. */
export function toQueuedEvent (
  { envelope, token, ip, facts }: InboundEvent,
  encryptor: Encryptor,
  { id, receivedAt, group, key, coalesce = false, isPriority = false, lifecycle = false, quarantined = false }: QueueOptions
): QueuedEvent {
  const memberId = envelope.auth.member_id
  const { rest, secrets } = extractSecrets(envelope)
  const needed = secrets.filter(([path]) => isNeeded(path, lifecycle))
  const payload: QueuedPayload = {
    v: FORMAT,
    envelope: rest,
    ...(needed.length > 0 && { encrypted: encryptor.encryptText(JSON.stringify(needed), memberId) }),
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

/** The tokens in `auth` of an ordinary event belong to the acting user and are not used. */
function isNeeded (path: string[], lifecycle: boolean): boolean {
  return path.at(-1)?.toLowerCase() !== 'application_token' && (lifecycle || path[0] !== 'auth')
}

/**
 * Restores an event from the queue.
 * @throws FST_B24_DECRYPTION_FAILED
 */
export function fromQueuedEvent ({ memberId }: QueuedEvent, { envelope, encrypted, token, ip = '', facts }: QueuedPayload, encryptor: Encryptor): InboundEvent {
  const rest = { token, ip, ...(facts !== undefined && { facts }) }
  if (encrypted === undefined) return { envelope, ...rest }
  // A copy, because the queued event is written back when it is delayed, and must not contain decrypted secrets.
  const decrypted = structuredClone(envelope)
  restoreSecrets(decrypted, JSON.parse(encryptor.decryptText(encrypted, memberId)) as Secret[])
  return { envelope: decrypted, ...rest }
}

/** Returns the payload of a queued event; `undefined` for a job that this version cannot have written. */
export function payloadOf (job: unknown): QueuedPayload | undefined {
  const event = job as Partial<QueuedEvent> | null
  const payload = event?.payload as Partial<QueuedPayload> | null | undefined
  if (typeof event?.id !== 'string' || typeof event.memberId !== 'string' || typeof event.receivedAt !== 'number') return undefined
  if (payload?.v !== FORMAT || payload.envelope?.auth?.member_id !== event.memberId || typeof payload.envelope.event !== 'string') return undefined
  return payload as QueuedPayload
}

/** Returns the documented name of the event with this code; the code itself for an undocumented event. */
export function nameOfCode (code: string): string {
  return definitionOf(code)?.name ?? code
}

import type { Encryptor } from '../../oauth/encryption.ts'
import type { OfflineEvent } from '../../portal/offline/offline-event.ts'
import type { EventQueue } from '../../storage/event-queue.ts'
import type { Envelope } from '../../wire/envelope.ts'
import { type EventOrder, orderOf, stow } from '../queued-post.ts'

export interface OfflineIntakeParts {
  queue: Pick<EventQueue, 'add'>
  encryptor: Encryptor
  handlers: EventOrder
  coalesce: boolean
}

/** Stores events that were fetched from a portal among those that portals post: the same hooks, in the same way. */
export class OfflineIntake {
  readonly #parts: OfflineIntakeParts

  constructor (parts: OfflineIntakeParts) {
    this.#parts = parts
  }

  /** @throws FST_B24_STORE_UNAVAILABLE, FST_B24_CLOSING */
  async take (event: OfflineEvent): Promise<void> {
    const { queue, encryptor, handlers, coalesce } = this.#parts
    const envelope = envelopeOf(event)
    await queue.add(stow({ envelope, token: undefined, ip: '' }, encryptor, { id: event.id, receivedAt: Date.now(), ...orderOf(envelope, handlers, coalesce) }))
  }
}

/** The event as it would have been posted. */
function envelopeOf ({ memberId, code, data, userId, timestamp }: OfflineEvent): Envelope {
  return {
    event: code,
    ...(data !== undefined && { data }),
    ...(timestamp !== undefined && { ts: Math.floor(timestamp / 1000) }),
    auth: { member_id: memberId, ...(userId !== undefined && { user_id: userId }) }
  }
}

import { definitionOf, itemOf } from '../../events/definitions.ts'
import type { HandlerRegistry } from '../../events/handlers.ts'
import type { Encryptor } from '../../oauth/encryption.ts'
import type { OfflineEvent } from '../../portal/offline/offline-event.ts'
import type { EventQueue } from '../../queue/queue.ts'
import type { Envelope } from '../../wire/envelope.ts'
import type { HandlerContext } from '../handlers/run-handler.ts'
import { stow } from '../queued-post.ts'

export interface OfflineIntakeParts {
  queue: Pick<EventQueue, 'add'>
  encryptor: Encryptor
  hooks: Pick<HandlerRegistry<HandlerContext>, 'coalesces'>
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
    const { queue, encryptor, hooks, coalesce } = this.#parts
    const { id, code, data } = event
    const definition = definitionOf(code)
    await queue.add(stow({ envelope: envelopeOf(event), token: undefined, ip: '' }, encryptor, {
      id,
      receivedAt: Date.now(),
      item: definition === undefined ? undefined : itemOf(definition, data),
      coalesce: coalesce && definition?.content !== true && hooks.coalesces(code)
    }))
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

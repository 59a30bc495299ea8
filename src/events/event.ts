import { randomUUID } from 'node:crypto'
import { parseScope } from '../oauth/response.ts'
import { integerOf, type Envelope } from '../wire/envelope.ts'
import { redact } from '../wire/redact.ts'
import { decodeData } from './decode.ts'
import { definitionOf } from './definitions.ts'
import type { EventData } from './event-map.ts'

/**
 * The `auth` of an event, without its tokens: those of the user who acted never reach a handler, for any code that has them acts with
 * that user's rights. A field that was not sent is `undefined`. Only `memberId` is verified.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/events/index.md
 */
export interface EventAuth {
  readonly memberId: string
  /** Host of the portal, such as `acme.bitrix24.com`. */
  readonly domain: string | undefined
  /** Permissions of the app, such as `['crm', 'task']`. */
  readonly scope: readonly string[] | undefined
  /** `L` local, `F` free, `S` subscription; others may come. */
  readonly status: string | undefined
  /** Portal user who acted. */
  readonly userId: number | undefined
  /** REST base of the portal, such as `https://acme.bitrix24.com/rest/`. */
  readonly clientEndpoint: string | undefined
  /** REST base of the OAuth server. */
  readonly serverEndpoint: string | undefined
}

/** What a handler is called with. No secret shows in it when it is logged or becomes JSON. */
export interface Bitrix24Event<Name extends string = string> {
  /** Ours: Bitrix24 gives a delivery none. The same at every attempt. */
  readonly id: string
  /** Documented name; the code for an event that is not documented. */
  readonly name: Name
  /** As sent, in capitals, with its type suffix: `ONCRMDYNAMICITEMUPDATE_147`. */
  readonly code: string
  /** In the documented types; what does not fit its type is as it came. */
  readonly data: EventData<Name>
  /** Id of the binding on that portal; two bindings of one event deliver twice. */
  readonly handlerId: number | undefined
  /** When the portal made the event, ms since the epoch (of whole seconds). */
  readonly sentAt: number | undefined
  /** When it came here, ms since the epoch. */
  readonly receivedAt: number
  /** 1 at first, one more at each retry. */
  readonly attempt: number
  /** How many deliveries this one stands for. */
  readonly coalesced: number
  /** Portal user who caused the event; `undefined` where nobody did (a robot, an agent). */
  readonly userId: number | undefined
  /** What the event says of its sender. */
  readonly auth: EventAuth
  /** The body as it was decoded, without its secrets. */
  readonly raw: unknown
}

/** What the plugin knows of an event beside its body. */
export interface EventMetadata {
  id?: string
  receivedAt?: number
  attempt?: number
  coalesced?: number
}

/** Makes the event of a body. `mismatches` counts the fields of `data` that do not fit their documented type. */
export function createEvent (envelope: Envelope, facts: EventMetadata = {}): { event: Bitrix24Event, mismatches: number } {
  const definition = definitionOf(envelope.event)
  const { data, mismatches } = decodeData(definition, envelope.data)
  const event = new ReceivedEvent(envelope, definition?.name, data, facts)
  return { event, mismatches }
}

class ReceivedEvent implements Bitrix24Event {
  readonly id: string
  readonly name: string
  readonly code: string
  readonly data: unknown
  readonly handlerId: number | undefined
  readonly sentAt: number | undefined
  readonly receivedAt: number
  readonly attempt: number
  readonly coalesced: number
  readonly userId: number | undefined
  readonly auth: EventAuth
  readonly #envelope: Envelope
  #raw: unknown

  constructor (envelope: Envelope, name: string | undefined, data: unknown, facts: EventMetadata) {
    const ts = integerOf(envelope.ts)
    this.id = facts.id ?? randomUUID()
    this.code = envelope.event.toUpperCase()
    this.name = name ?? this.code
    this.data = data
    this.handlerId = integerOf(envelope.event_handler_id) ?? integerOf(envelope.eventId)
    this.sentAt = ts === undefined ? undefined : ts * 1000
    this.receivedAt = facts.receivedAt ?? Date.now()
    this.attempt = facts.attempt ?? 1
    this.coalesced = facts.coalesced ?? 1
    this.auth = authOf(envelope)
    this.userId = this.auth.userId
    this.#envelope = envelope
  }

  get raw (): unknown {
    this.#raw ??= redact(this.#envelope)
    return this.#raw
  }
}

function authOf ({ auth }: Envelope): EventAuth {
  const text = (value: string | number | undefined): string | undefined => value === undefined || value === '' ? undefined : String(value)
  return {
    memberId: auth.member_id,
    domain: text(auth.domain),
    scope: auth.scope === undefined || auth.scope === '' ? undefined : parseScope(auth.scope),
    status: text(auth.status),
    userId: integerOf(auth.user_id),
    clientEndpoint: text(auth.client_endpoint),
    serverEndpoint: text(auth.server_endpoint)
  }
}

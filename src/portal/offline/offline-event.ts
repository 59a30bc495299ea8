import { createHash } from 'node:crypto'
import { isObject, scalarText } from '../../validation.ts'
import { EVENT_CODE } from '../../wire/envelope.ts'
import { decodeJson } from '../../wire/json.ts'

/** An event from a portal's offline queue. */
export interface OfflineEvent {
  /** Unique and stable: the same when the row is read again. */
  id: string
  memberId: string
  /** Upper case. */
  code: string
  /** JSON as received: numbers may be strings and vice versa. `undefined` if the event has no data. */
  data: unknown
  /** The data exceeded the limits of posted events and was dropped. */
  isTruncated: boolean
  /** Bitrix24's id: the same for all events of this code with the same data. */
  messageId: string
  /** Portal user who caused the event. */
  userId?: number
  /** Creation time in ms since the epoch, with a resolution of one second; `undefined` if malformed. */
  timestamp: number | undefined
}

/** A row of a portal's offline queue. */
export interface OfflineRow {
  /** Row number; empty if missing. */
  rowId: string
  /** 32 characters; empty if missing. */
  messageId: string
  /** Reservation the row belongs to; empty if not reserved or not reported. */
  processId: string
  /** Marked as failed. */
  isError: boolean
  /** `undefined` for a row without a valid event name. */
  event: OfflineEvent | undefined
}

/** Upper limit of rows per response, more than any portal returns. */
const MAX_ROWS = 1_000
const MAX_TEXT_LENGTH = 200
const ROW_ID = /^\d{1,20}$/
const MESSAGE_ID = /^[0-9A-Za-z]{32}$/
/** Maximum JSON length of an event's data, the same as the default `bodyLimit`. */
const MAX_DATA_LENGTH = 262_144

/** Parses the rows of `event.offline.get` or `event.offline.list`. */
export function parseRows (memberId: string, rows: unknown): OfflineRow[] {
  return (Array.isArray(rows) ? rows : []).slice(0, MAX_ROWS).map((row: unknown) => parseRow(memberId, isObject(row) ? row : {}))
}

function parseRow (memberId: string, row: Record<string, unknown>): OfflineRow {
  const code = textAt(row, 'EVENT_NAME')
  const [rowId, messageId] = [matching(ROW_ID, textAt(row, 'ID')), matching(MESSAGE_ID, textAt(row, 'MESSAGE_ID'))]
  const isEvent = EVENT_CODE.test(code) && (rowId !== '' || messageId !== '')
  return {
    rowId,
    messageId,
    processId: textAt(row, 'PROCESS_ID'),
    isError: textAt(row, 'ERROR') === '1',
    event: isEvent ? parseEvent(memberId, row, { code, rowId, messageId }) : undefined
  }
}

function parseEvent (memberId: string, row: Record<string, unknown>, { code, rowId, messageId }: { code: string, rowId: string, messageId: string }): OfflineEvent {
  const at = textAt(row, 'TIMESTAMP_X')
  const userId = parseUser(row['EVENT_ADDITIONAL'])
  const timestamp = Date.parse(at)
  return {
    id: idOf(memberId, rowId, messageId, at),
    memberId,
    code: code.toUpperCase(),
    ...parseData(row['EVENT_DATA']),
    messageId,
    ...(userId !== undefined && { userId }),
    timestamp: Number.isNaN(timestamp) ? undefined : timestamp
  }
}

/** Returns '' for values longer than any genuine one. */
function textAt (row: Record<string, unknown>, name: string): string {
  const text = scalarText(row[name])
  return text.length > MAX_TEXT_LENGTH ? '' : text
}

function matching (pattern: RegExp, text: string): string {
  return pattern.test(text) ? text : ''
}

/** Includes the time: a waiting row absorbs later changes and gets a new time, which makes it another event. */
function idOf (...parts: string[]): string {
  return `offline-${createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32)}`
}

/** PHP writes `false` for no data. Data over the limits is dropped, which keeps the event itself. */
function parseData (data: unknown): Pick<OfflineEvent, 'data' | 'isTruncated'> {
  if (typeof data !== 'object' || data === null) return { data: undefined, isTruncated: false }
  const text = JSON.stringify({ data })
  if (text.length > MAX_DATA_LENGTH) return { data: undefined, isTruncated: true }
  try {
    return { data: decodeJson(text)['data'], isTruncated: false }
  } catch {
    return { data: undefined, isTruncated: true }
  }
}

/** Returns `undefined` for 0, which means no user. */
function parseUser (additional: unknown): number | undefined {
  const userId = Number(isObject(additional) ? textAt(additional, 'user_id') : 0)
  return Number.isSafeInteger(userId) && userId > 0 ? userId : undefined
}

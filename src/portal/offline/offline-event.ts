import { createHash } from 'node:crypto'
import { isObject, scalarText } from '../../validation.ts'
import { EVENT_CODE } from '../../wire/envelope.ts'
import { decodeJson } from '../../wire/json.ts'

/** An event that waited in a portal's queue. */
export interface OfflineEvent {
  /** The same whenever this row of this queue is read again, and of no other. */
  id: string
  memberId: string
  /** In capitals. */
  code: string
  /** As it came: JSON, of which numbers may be text and text numbers. `undefined` where the event has no data. */
  data: unknown
  /** It had data that are longer or deeper than what a portal may post, and were left out. */
  isCut: boolean
  /** Bitrix24's own: the same for all events of this code with these data. */
  messageId: string
  /** Portal user who caused it. */
  userId?: number
  /** When the portal made it, ms since the epoch (of whole seconds); `undefined` where that cannot be read. */
  timestamp: number | undefined
}

/** A row of a portal's queue. */
export interface OfflineRow {
  /** Number of the row; empty where it has none. */
  rowId: string
  /** 32 characters; empty where it has none. */
  messageId: string
  /** Who reserved it; empty where nobody did, and where the portal does not say. */
  processId: string
  /** It was put aside as one that could not be handled. */
  isError: boolean
  /** `undefined` for a row that has no name of an event. */
  event: OfflineEvent | undefined
}

/** Rows that are read of one answer: no portal gives so many. */
const MAX_ROWS = 1_000
const MAX_TEXT_LENGTH = 200
const ROW_ID = /^\d{1,20}$/
const MESSAGE_ID = /^[0-9A-Za-z]{32}$/
/** Longest data of a row, as JSON; what is posted may be as long, unless told otherwise. */
const MAX_DATA_LENGTH = 262_144

/** Reads the rows of `event.offline.get` or `event.offline.list`. */
export function readRows (memberId: string, rows: unknown): OfflineRow[] {
  return (Array.isArray(rows) ? rows : []).slice(0, MAX_ROWS).map((row: unknown) => readRow(memberId, isObject(row) ? row : {}))
}

function readRow (memberId: string, row: Record<string, unknown>): OfflineRow {
  const code = textAt(row, 'EVENT_NAME')
  const [rowId, messageId] = [matching(ROW_ID, textAt(row, 'ID')), matching(MESSAGE_ID, textAt(row, 'MESSAGE_ID'))]
  const isEvent = EVENT_CODE.test(code) && (rowId !== '' || messageId !== '')
  return {
    rowId,
    messageId,
    processId: textAt(row, 'PROCESS_ID'),
    isError: textAt(row, 'ERROR') === '1',
    event: isEvent ? readEvent(memberId, row, { code, rowId, messageId }) : undefined
  }
}

function readEvent (memberId: string, row: Record<string, unknown>, { code, rowId, messageId }: { code: string, rowId: string, messageId: string }): OfflineEvent {
  const at = textAt(row, 'TIMESTAMP_X')
  const userId = userOf(row['EVENT_ADDITIONAL'])
  const timestamp = Date.parse(at)
  return {
    id: idOf(memberId, rowId, messageId, at),
    memberId,
    code: code.toUpperCase(),
    ...readData(row['EVENT_DATA']),
    messageId,
    ...(userId !== undefined && { userId }),
    timestamp: Number.isNaN(timestamp) ? undefined : timestamp
  }
}

/** Empty for what is too long to be one of a row. */
function textAt (row: Record<string, unknown>, name: string): string {
  const text = scalarText(row[name])
  return text.length > MAX_TEXT_LENGTH ? '' : text
}

function matching (pattern: RegExp, text: string): string {
  return pattern.test(text) ? text : ''
}

/** A row that waits takes in what happens again, and has another time then: it is another event. */
function idOf (...parts: string[]): string {
  return `offline-${createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32)}`
}

/** PHP's false stands for none. What no sender of events may write is left out: so the event is not lost, nor is it a danger. */
function readData (data: unknown): Pick<OfflineEvent, 'data' | 'isCut'> {
  if (typeof data !== 'object' || data === null) return { data: undefined, isCut: false }
  const text = JSON.stringify({ data })
  if (text.length > MAX_DATA_LENGTH) return { data: undefined, isCut: true }
  try {
    return { data: decodeJson(text)['data'], isCut: false }
  } catch {
    return { data: undefined, isCut: true }
  }
}

/** 0 stands for nobody. */
function userOf (additional: unknown): number | undefined {
  const userId = Number(isObject(additional) ? textAt(additional, 'user_id') : 0)
  return Number.isSafeInteger(userId) && userId > 0 ? userId : undefined
}

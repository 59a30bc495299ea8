import type { CallOutcome, RestCall } from '../rest-call.ts'

const PAGE = 50

/** One page of a list; `start=-1` leaves the counting out: then `total` is 0, and there is no `next`. */
export function page<T> (call: RestCall, rows: readonly T[], show: (rows: readonly T[]) => unknown = rows => rows): CallOutcome {
  const start = call.integer('start') ?? 0
  if (start < 0) return { result: show(rows.slice(0, PAGE)), total: 0 }
  const next = start + PAGE
  return { result: show(rows.slice(start, next)), ...(next < rows.length && { next }), total: rows.length }
}

import { randomBytes } from 'node:crypto'
import { hasEnded, ownSign, type ProcessSign } from '../../embedded/process-sign.ts'

/** May still be written to. */
export const ACTIVE = '.active'
/** Is written to no more. */
export const SEALED = '.sealed'
/** Ends with something that cannot be read; kept for who wants to know what it was. */
export const TORN = '.torn'

const own = ownSign()
let lastAt = 0

/** Name of a new segment of this process, without its suffix; names sort by when they were given, here even if the clock is put back. */
export function newSegmentName (): string {
  lastAt = Math.max(lastAt + 1, Date.now())
  return [String(lastAt).padStart(15, '0'), own.pid, own.processes, randomBytes(4).toString('hex')].join('-')
}

/** Whether the process that made the segment is known to have ended. */
export function isOrphan (name: string): boolean {
  return hasEnded(writerOf(name), own)
}

function writerOf (name: string): Partial<ProcessSign> {
  const [, pid, processes] = name.split('-')
  return Number(pid) > 0 && processes !== undefined ? { pid: Number(pid), processes } : {}
}

import { storeUnavailable } from '../unavailable.ts'

/** Whether another process has the file. */
export function isBusy (error: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED|PROTOCOL)/.test(codeOf(error))
}

/** Whether the file failed, and not what was asked for; also what `OpenFiles` throws. */
export function isOfTheFile (error: unknown): boolean {
  return /^(SQLITE_(FULL|IOERR|READONLY|CORRUPT|NOTADB|CANTOPEN|NOMEM|PERM)|E[A-Z]+$)/.test(codeOf(error))
}

/** Makes the error that a failure surfaces as: with a plain reason, and with what to do. An error of ours stays as it is. */
export function failureOf (error: unknown, path: string): Error {
  const code = codeOf(error)
  if (code.startsWith('FST_B24_')) return error as Error
  const { message } = error as Error
  if (isBusy(error)) return storeUnavailable(Object.assign(new Error(`Another process keeps ${path} locked`), { code }))
  if (/^SQLITE_(NOTADB|CORRUPT)/.test(code)) {
    return storeUnavailable(Object.assign(new Error(`${path} is damaged, or is no database (${message}): put a copy of it back, or move it away with its -wal and -shm, and begin with nothing`), { code }))
  }
  return storeUnavailable(error)
}

function codeOf (error: unknown): string {
  return String((error as NodeJS.ErrnoException).code)
}

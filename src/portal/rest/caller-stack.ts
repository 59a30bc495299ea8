/** Where a call was made. */
export interface CallerStack {
  stack?: string
}

const seen = new WeakSet<object>()

/** Notes who calls a function, which is one of the frames above it. The text is made when it is read. */
export function callerOf (callee: (...args: never[]) => unknown): CallerStack {
  const holder: CallerStack = {}
  Error.captureStackTrace(holder, callee)
  return holder
}

/**
 * Puts who made the call under the stack of its error: what is awaited on the way may be shared by several calls, and has lost them. An
 * error that several calls share gets the first one.
 */
export function withCaller (error: unknown, { stack = '' }: CallerStack): unknown {
  if (!(error instanceof Error) || typeof error.stack !== 'string' || seen.has(error)) return error
  seen.add(error)
  const frames = stack.split('\n').slice(1)
  const last = frames.at(-1)
  if (last === undefined || error.stack.includes(last.replace(/^\s*at (async )?/, ''))) return error
  error.stack += `\n${frames.join('\n')}`
  return error
}

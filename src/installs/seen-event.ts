import { TOKEN_GRACE_MS } from './application-token.ts'
import type { Install, TokenDigest } from './install.ts'
import { secondOf } from './pair-rules.ts'

/** What a verified event says of its portal beside its data. */
export interface SeenEvent {
  /** Portal's time, Unix seconds. An event without it changes nothing: it may be an old one. */
  ts: number | undefined
  /** The token that verified it, which may be the one before the current one. */
  tokenDigest: TokenDigest | undefined
  /** Empty where the event names none. */
  scope: string[]
  status: string | undefined
}

/** Least time between two changes of the current token by events, in milliseconds: two tokens that are both in use must not cost a write for each event. */
const TOKEN_PAUSE_MS = 60 * 60 * 1000

/** The record after a verified event; `known` itself where the event says nothing new, or is not newer than what is known. No I/O, no clock. */
export function applySeen (known: Install, event: SeenEvent, now: number): Install {
  if (event.ts === undefined || known.state === 'uninstalled') return known
  const ts = secondOf(event.ts, now)
  if (ts <= Math.max(known.ts, known.seenTs ?? 0)) return known
  const next = { ...known, ...newsOf(known, event), ...tokenOf(known, event, now) }
  const isNew = Object.keys(next).some(key => next[key as keyof Install] !== known[key as keyof Install])
  return isNew ? { ...next, seenTs: ts, updatedAt: now } : known
}

function newsOf (known: Install, { scope, status }: SeenEvent): Partial<Install> {
  const isOther = scope.length > 0 && [...scope].sort().join() !== [...known.scope].sort().join()
  return { ...(isOther && { scope }), ...(status !== undefined && { status }) }
}

/** A token before the current one that the portal still uses becomes the current one again: it must not lapse. */
function tokenOf ({ token, previousToken }: Install, { tokenDigest }: SeenEvent, now: number): Partial<Install> {
  if (previousToken === undefined || tokenDigest !== previousToken.digest || now >= previousToken.expiresAt) return {}
  if (previousToken.expiresAt - now > TOKEN_GRACE_MS - TOKEN_PAUSE_MS) return {}
  return { token: previousToken.digest, previousToken: { digest: token, expiresAt: now + TOKEN_GRACE_MS } }
}

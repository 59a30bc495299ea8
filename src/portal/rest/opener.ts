import { isObject } from '../../is-object.ts'
import { limitError, unavailableError } from './call-error.ts'
import type { RestTransport } from './rest-transport.ts'
import { judge, type PortalAnswer } from './verdict.ts'

/** What a portal says of a user who opened the app there. */
export interface Opener {
  isAdmin: boolean
  /** `false` until the install page has called `installFinish`; `undefined` where the portal does not say. */
  isInstalled: boolean | undefined
}

/** Where to ask, and as whom. The address must be the word of an OAuth server. */
export interface OpenerQuestion {
  memberId: string
  domain: string
  /** REST base of the portal, ends with `/rest/`. */
  clientEndpoint: string
  accessToken: string
  signal: AbortSignal
}

export type AskOpener = (question: OpenerQuestion) => Promise<Opener>

export interface OpenerParts {
  transport: RestTransport
  /** @default 5000 */
  timeoutMs?: number | undefined
}

const COMMANDS = { profile: 'profile', info: 'app.info' }
const BUSY_MS = 1_000

/**
 * Makes what asks a portal about the user who opened the app, in one call. The token is not kept yet, so none of the ways
 * to act on a portal will do.
 *
 * It rejects with FST_B24_PORTAL_UNAVAILABLE, FST_B24_PORTAL_LIMIT, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_CALL and the like, or
 * with the reason of `signal`.
 */
export function createAskOpener ({ transport, timeoutMs = 5_000 }: OpenerParts): AskOpener {
  return async (question) => {
    const { memberId, accessToken, clientEndpoint, signal } = question
    const body = JSON.stringify({ cmd: COMMANDS, halt: 0, auth: accessToken })
    const answer = await transport.post({ memberId, url: `${clientEndpoint}batch`, body, timeoutMs, signal })
    const call = { ...question, method: COMMANDS.profile }
    const remedy = judge(answer, call)
    if (remedy !== undefined) throw remedy.type === 'wait' ? limitError(call.method, remedy.code, remedy.closedMs ?? BUSY_MS) : remedy.error
    return readOpener(answer, call)
  }
}

function readOpener ({ status, body }: PortalAnswer, call: OpenerQuestion & { method: string }): Opener {
  const batch = at(body, 'result')
  const profile = at(at(batch, 'result'), 'profile')
  if (isObject(profile)) {
    const installed = at(at(at(batch, 'result'), 'info'), 'INSTALLED')
    return { isAdmin: profile['ADMIN'] === true, isInstalled: typeof installed === 'boolean' ? installed : undefined }
  }
  const remedy = judge({ status, body: at(at(batch, 'result_error'), 'profile') }, call)
  throw remedy === undefined || remedy.type === 'wait' ? unavailableError('no profile') : remedy.error
}

/** What stands under a key; PHP writes an empty map as a list. */
function at (value: unknown, key: string): unknown {
  return isObject(value) ? value[key] : undefined
}

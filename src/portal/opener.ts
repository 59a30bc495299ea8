import { setMaxListeners } from 'node:events'
import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { FST_B24_PRIVATE_ADDRESS } from '../errors.ts'
import { isObject } from '../oauth/request.ts'
import { PRIVATE_ADDRESS, publicLookup, type Resolve } from './address-guard.ts'
import { limitError, unavailableError } from './call-error.ts'
import { isPrivateAddress } from './private-address.ts'
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

export interface OpenerOptions {
  allowPrivateNetworks: boolean
  /** @default 5000 */
  timeoutMs?: number | undefined
  /** @default that of node:dns */
  resolve?: Resolve | undefined
}

const COMMANDS = { profile: 'profile', info: 'app.info' }
const LARGEST_ANSWER = 65_536
const BUSY_MS = 1_000

/**
 * Makes what asks a portal about the user who opened the app, in one call. The token is not kept yet, so none of the ways
 * to act on a portal will do.
 *
 * It rejects with FST_B24_PORTAL_UNAVAILABLE, FST_B24_PORTAL_LIMIT, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_CALL and the like.
 */
export function createAskOpener (options: OpenerOptions): AskOpener {
  return async (question) => {
    const { accessToken, clientEndpoint } = question
    const answer = await post(`${clientEndpoint}batch`, { cmd: COMMANDS, halt: 0, auth: accessToken }, question, options)
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

async function post (url: string, params: object, { memberId, signal }: OpenerQuestion, { allowPrivateNetworks, timeoutMs = 5000, resolve }: OpenerOptions): Promise<PortalAnswer> {
  if (!allowPrivateNetworks && isPrivateAddress(url)) throw new FST_B24_PRIVATE_ADDRESS(memberId)
  const abort = new AbortController()
  const stop = (): void => abort.abort()
  const timer = setTimeout(stop, timeoutMs).unref()
  // As many listeners as questions under way are no leak, of which Node would warn from the eleventh on.
  setMaxListeners(0, signal)
  signal.addEventListener('abort', stop)
  if (signal.aborted) stop()
  try {
    return await exchange(url, JSON.stringify(params), { signal: abort.signal, ...(!allowPrivateNetworks && { lookup: publicLookup(resolve) }) })
  } catch (error) {
    const { code = 'no answer' } = error as { code?: string }
    throw code === PRIVATE_ADDRESS ? new FST_B24_PRIVATE_ADDRESS(memberId) : unavailableError(code)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}

/** One request on a connection of its own; no redirect is followed. */
async function exchange (url: string, body: string, options: object): Promise<PortalAnswer> {
  const request = url.startsWith('https:') ? requestHttps : requestHttp
  return await new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), accept: 'application/json' }
    const outgoing = request(url, { method: 'POST', agent: false, headers, ...options }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('error', reject).on('data', (chunk: string) => {
        text += chunk
        if (text.length > LARGEST_ANSWER) outgoing.destroy(Object.assign(new Error('too long'), { code: 'answer too long' }))
      }).on('end', () => resolve({ status: response.statusCode ?? 0, body: parse(text) }))
    })
    outgoing.on('error', reject).end(body)
  })
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

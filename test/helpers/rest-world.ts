import Fastify from 'fastify'
import type { Test } from 'tap'
import { createSimulator, encodeForm, type SimulatedPortal, type Simulator, type SimulatorOptions } from '../../src/testing/index.ts'
import { remember, secret } from './secrets.ts'

/** What a call is answered; `Result` is what the test expects of it. */
export interface RestAnswer<Result = unknown> {
  status: number
  body: { result?: Result, error?: string, error_description?: string, total?: number, next?: number, time?: Record<string, unknown> }
}

export interface CallOptions {
  /** @default 1 */
  user?: number
  token?: string
  /** @default 'json' */
  as?: 'json' | 'form' | 'query'
}

export interface RestWorld {
  b24: Simulator
  portal: SimulatedPortal
  /** Calls a method of the portal's REST. */
  call<Result = unknown> (method: string, params?: object, options?: CallOptions): Promise<RestAnswer<Result>>
  /** Where the app takes posts. */
  url: string
  /** Bodies that came there. */
  posts: URLSearchParams[]
}

export const CLIENT_ID = 'local.ours'

/** A simulator with one portal, a caller of its REST, and an app that keeps what it is sent. */
export async function buildRest (t: Test, options: Partial<SimulatorOptions> = {}): Promise<RestWorld> {
  const b24 = await createSimulator({ clientId: CLIENT_ID, clientSecret: secret(), ...options })
  const portal = b24.portal('acme.bitrix24.com')
  const posts: URLSearchParams[] = []
  const app = Fastify({ forceCloseConnections: true })
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, text, done) => done(null, text))
  app.post('/events', async request => { posts.push(new URLSearchParams(request.body as string)) })
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(async () => {
    b24.secrets().forEach(remember)
    await Promise.all([app.close(), b24.close()])
  })
  const tokens = new Map<number, string>()
  const tokenOf = (user: number) => {
    const token = tokens.get(user) ?? portal.issue({ userId: user }).accessToken
    tokens.set(user, token)
    return token
  }
  return {
    b24,
    portal,
    posts,
    url: `${app.listeningOrigin}/events`,
    call: async <Result>(method: string, params: object = {}, { user = 1, token = tokenOf(user), as = 'json' }: CallOptions = {}) => {
      const response = await fetch(...requestOf(`${portal.clientEndpoint}${method}`, { ...params, auth: token }, as))
      return { status: response.status, body: await response.json() as RestAnswer<Result>['body'] }
    }
  }
}

function requestOf (url: string, fields: object, as: CallOptions['as']): [string, RequestInit] {
  if (as === 'query') return [`${url}?${encodeForm(fields)}`, { redirect: 'manual' }]
  if (as === 'form') return [url, { method: 'POST', body: encodeForm(fields), headers: { 'content-type': 'application/x-www-form-urlencoded' } }]
  return [url, { method: 'POST', body: JSON.stringify(fields), headers: { 'content-type': 'application/json' } }]
}

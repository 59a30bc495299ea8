// What the app sees as it happens, at `GET /`: portals, what waits, dead letters, and events as they are handled here. It has no password, so it
// belongs on a server that listens on loopback alone, and it answers nobody who calls that by another name: no tunnel, no website.
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { PassThrough } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { Bitrix24Event, Portal } from 'fastify-bitrix24'

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]']
const TICK_MS = 1_000
/** Late viewers get the most recent ones. */
const MOST_KEPT = 30
const MOST_PORTALS = 100
const MOST_DEAD_LETTERS = 10

export async function livePage (app: FastifyInstance): Promise<void> {
  const page = await readFile(new URL('live-page.html', import.meta.url), 'utf8')
  const watchers = new Set<PassThrough>()
  const kept: object[] = []
  const send = (type: string, data: object): void => {
    for (const watcher of watchers) watcher.write(messageOf(type, data))
  }
  const happened = (domain: string, what: string, details = ''): void => {
    const line = { at: Date.now(), domain, what, details }
    kept.splice(0, kept.length - MOST_KEPT + 1)
    kept.push(line)
    send('line', line)
  }

  const { bitrix24 } = app
  bitrix24.onAny((event, { portal }) => happened(portal.domain, event.name, detailsOf(event)))
  bitrix24.addHook('onInstall', ({ portal, reinstall }) => happened(portal.domain, reinstall ? 'installed again' : 'installed'))
  bitrix24.addHook('onUpdate', ({ portal, version }) => happened(portal.domain, 'updated', version))
  bitrix24.addHook('onUninstall', ({ portal }) => happened(portal.domain, 'removed the app'))

  const tick = async (): Promise<void> => {
    const { queue, oldestMs, events } = await bitrix24.health()
    // Of all processes, so that a receiver shows them too.
    const { items } = await bitrix24.deadLetters.list({ limit: MOST_DEAD_LETTERS })
    const deadLetters = items.map(({ failedAt, name, code, memberId, attempts, error }) => ({ at: failedAt, what: name || code, memberId, attempts, error: error.message }))
    const portals: object[] = []
    for await (const portal of bitrix24.portals()) {
      if (portals.push(shown(portal)) === MOST_PORTALS) break
    }
    send('state', { portals, queue, oldestMs, events, deadLetters })
  }
  const timer = setInterval(() => { if (watchers.size > 0) tick().catch(error => app.log.warn(error)) }, TICK_MS)
  // Before the server closes: what streams would keep it open.
  app.addHook('preClose', async () => {
    clearInterval(timer)
    for (const watcher of watchers) watcher.end()
  })

  app.addHook('onRequest', async (request, reply) => {
    if (!LOOPBACK.includes(request.hostname)) return await reply.code(403).send('This page is for this machine alone')
  })
  app.get('/', async (_request, reply) => {
    const nonce = randomBytes(16).toString('base64url')
    reply.headers({
      'content-security-policy': `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'nonce-${nonce}'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`,
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff'
    })
    return await reply.type('text/html; charset=utf-8').send(page.replaceAll('{nonce}', nonce))
  })
  app.get('/live', async (_request, reply) => {
    const watcher = new PassThrough()
    watchers.add(watcher)
    watcher.once('close', () => watchers.delete(watcher))
    for (const line of kept) watcher.write(messageOf('line', line))
    tick().catch(error => app.log.warn(error))
    return await reply.headers({ 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' }).send(watcher)
  })
}

function messageOf (type: string, data: object): string {
  return `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`
}

function shown ({ memberId, domain, state, version, installedAt, scope }: Portal): object {
  return { memberId, domain, state, version, installedAt, scope }
}

/** Which item it was; what else an event says may be anybody's message. */
function detailsOf ({ data, coalesced }: Bitrix24Event): string {
  const { ID, ENTITY_TYPE_ID } = (data as { FIELDS?: { ID?: unknown, ENTITY_TYPE_ID?: unknown } } | undefined)?.FIELDS ?? {}
  const parts = [
    ID === undefined ? undefined : `item ${String(ID)}`,
    ENTITY_TYPE_ID === undefined ? undefined : `of type ${String(ENTITY_TYPE_ID)}`,
    coalesced > 1 ? `${coalesced} changes` : undefined
  ]
  return parts.filter(part => part !== undefined).join(' ')
}

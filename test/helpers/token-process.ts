import { createInterface } from 'node:readline'
import { createEncryptor } from '../../src/oauth/encryption.ts'
import type { PortalAccess } from '../../src/portal/tokens/access-state.ts'
import { Tokens } from '../../src/portal/tokens/tokens.ts'
import { logTo, openPlace, type TokenSettings } from './token-world.ts'

/** What was asked of it: so many tokens of a portal, all at once. */
export interface TokenOrder {
  memberId: string
  count: number
}

/** What came of an order. */
export interface TokenReport {
  generations: number[]
  owners: string[]
  errors: string[]
  succeeded: number
}

// A process of the app that needs tokens: says 'ready', takes an order a line, and reports a line of JSON for each; also what is reported.
const settings = JSON.parse(process.env['APP_SETTINGS'] as string) as TokenSettings
const { clientId, clientSecret, oauthServer, times } = settings
const { store, locks } = await openPlace(settings)
const tokens = new Tokens({
  store,
  locks,
  encryptor: createEncryptor([], clientSecret, clientId),
  oauth: { clientId, clientSecret, allowedServers: [oauthServer] },
  listener: {
    reauthRequired: memberId => say({ reported: ['reauthRequired', memberId] }),
    renamed: (...names) => say({ reported: ['renamed', ...names] }),
    suspended: memberId => say({ reported: ['suspended', memberId] })
  },
  log: logTo([]),
  times
})

say('ready')
for await (const line of createInterface({ input: process.stdin })) work(JSON.parse(line))

async function work ({ memberId, count }: TokenOrder): Promise<void> {
  const outcomes = await Promise.allSettled(Array.from({ length: count }, () => tokens.access(memberId)))
  const found: PortalAccess[] = []
  const errors: string[] = []
  for (const outcome of outcomes) {
    if (outcome.status === 'fulfilled') found.push(outcome.value)
    else errors.push(outcome.reason.code ?? outcome.reason.message)
  }
  const report: TokenReport = {
    generations: [...new Set(found.map(({ generation }) => generation))],
    owners: [...new Set(found.map(({ owner }) => owner))],
    errors: [...new Set(errors)],
    succeeded: found.length
  }
  say({ memberId, report })
}

function say (line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

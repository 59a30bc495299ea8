import t from 'tap'
import { unavailableError } from '../../../src/portal/rest/call-error.ts'
import { followRedirect, type RedirectTokens } from '../../../src/portal/rest/follow-redirect.ts'
import type { PortalAccess } from '../../../src/portal/tokens/portal-access.ts'

t.test('where a redirect may be followed, the address is kept; the word of the OAuth server comes first', async t => {
  const access = { clientEndpoint: 'https://box.example.ru/rest/' } as PortalAccess
  const error = unavailableError('status 302')
  const follow = async (location: string, named = access.clientEndpoint) => {
    const kept: string[] = []
    const tokens: RedirectTokens = {
      locate: async known => ({ ...known, clientEndpoint: named }),
      renew: async known => known,
      move: async (known, clientEndpoint) => { kept.push(clientEndpoint); return { ...known, clientEndpoint } }
    }
    const { clientEndpoint } = await followRedirect(tokens, { type: 'redirect', location, error }, access, 'profile')
    return [clientEndpoint, ...kept]
  }
  const below = 'https://box.example.ru/site/rest/'
  t.strictSame(await follow(`${below}profile`), [below, below])
  t.strictSame(await follow(`${below}profile`, 'https://new.example.ru/rest/'), ['https://new.example.ru/rest/'])
  await t.rejects(follow('https://evil.example.ru/rest/profile'), error)
})

import t from 'tap'
import { unavailableError } from '../../../src/portal/rest/call-error.ts'
import { resolveRedirect, redirectTarget, type RedirectTokens } from '../../../src/portal/rest/redirects.ts'
import type { PortalAccess } from '../../../src/portal/tokens/access-state.ts'

const PATH = 'crm.item.get?bx24_request_id=1'

t.test('follows a redirect with a token only to https on the same host or within the same origin', async t => {
  const cases: Array<[from: string, location: string | undefined, target: string | undefined]> = [
    ['http://box.ru/rest/', 'https://box.ru/rest/crm.item.get?bx24_request_id=1', 'https://box.ru/rest/'],
    ['http://box.ru/rest/', 'https://BOX.ru:443/rest/crm.item.get', 'https://box.ru/rest/'],
    ['http://box.ru:8080/rest/', 'https://box.ru:8443/rest/crm.item.get/', 'https://box.ru:8443/rest/'],
    ['http://box.ru/rest/', '//box.ru/rest/crm.item.get', undefined],
    ['http://box.ru/rest/', 'https://box.ru/portal/rest/crm.item.get.json', 'https://box.ru/portal/rest/'],
    ['https://box.ru/rest/', '/portal/rest/crm.item.get', 'https://box.ru/portal/rest/'],
    ['https://box.ru/rest/', '../portal/rest/crm.item.get', 'https://box.ru/portal/rest/'],
    ['https://box.ru/rest/', 'https://box.ru:8443/rest/crm.item.get', 'https://box.ru:8443/rest/'],
    ['https://box.ru/rest/', 'http://box.ru/rest/crm.item.get', undefined],
    ['http://box.ru/rest/', 'http://box.ru:8080/rest/crm.item.get', undefined],
    ['http://box.ru/rest/', 'https://evil.ru/rest/crm.item.get', undefined],
    ['http://box.ru/rest/', 'https://box.ru.evil.ru/rest/crm.item.get', undefined],
    ['http://box.ru/rest/', 'https://www.box.ru/rest/crm.item.get', undefined],
    ['http://box.ru/rest/', 'https://user:pw@box.ru/rest/crm.item.get', undefined],
    ['http://box.ru/rest/', 'https://box.ru@evil.ru/rest/crm.item.get', undefined],
    ['http://box.ru/rest/', 'https://box.ru/auth/', undefined],
    ['http://box.ru/rest/', 'https://box.ru/rest/other.method', undefined],
    ['http://box.ru/rest/', 'javascript:alert(1)', undefined],
    ['http://box.ru/rest/', 'https://[', undefined],
    ['http://box.ru/rest/', '', undefined],
    ['http://box.ru/rest/', undefined, undefined],
    ['https://box.ru/rest/', 'https://box.ru/rest/crm.item.get', undefined]
  ]
  for (const [clientEndpoint, location, target] of cases) t.equal(redirectTarget({ clientEndpoint, path: PATH }, location), target, `${clientEndpoint} ${location}`)
  t.equal(redirectTarget({ clientEndpoint: 'http://box.ru/rest/', path: 'api/note.get' }, 'https://box.ru/rest/api/note.get'), 'https://box.ru/rest/')
})

t.test('stores the address of a trusted redirect; the OAuth server has precedence', async t => {
  const access = { clientEndpoint: 'https://box.example.ru/rest/' } as PortalAccess
  const error = unavailableError('status 302')
  const follow = async (location: string, named = access.clientEndpoint) => {
    const kept: string[] = []
    const tokens: RedirectTokens = {
      locate: async known => ({ ...known, clientEndpoint: named }),
      renew: async known => known,
      move: async (known, clientEndpoint) => { kept.push(clientEndpoint); return { ...known, clientEndpoint } }
    }
    const { clientEndpoint } = await resolveRedirect(tokens, { type: 'redirect', location, error }, access, 'profile')
    return [clientEndpoint, ...kept]
  }
  const below = 'https://box.example.ru/site/rest/'
  t.strictSame(await follow(`${below}profile`), [below, below])
  t.strictSame(await follow(`${below}profile`, 'https://new.example.ru/rest/'), ['https://new.example.ru/rest/'])
  await t.rejects(follow('https://evil.example.ru/rest/profile'), error)
})

import t from 'tap'
import { restoreSecrets, extractSecrets } from '../../src/wire/redact.ts'

t.test('secrets are extracted at any depth and restored at their paths', async t => {
  const tree = {
    data: { BOT: { 39: { access_token: 'a1', AUTH: [{ Refresh_Token: 'r1', user: '1' }] } }, TEXT: 'token', files: ['plain', 'https://a/?auth=f1'], link: 'https://a/?access_token=l1' },
    auth: { domain: 'acme.bitrix24.com', application_token: { odd: 'map' } },
    ts: null
  }
  const before = JSON.parse(JSON.stringify(tree)) as typeof tree
  const { rest, secrets } = extractSecrets(tree)
  t.strictSame(JSON.parse(JSON.stringify(rest)), {
    data: { BOT: { 39: { AUTH: [{ user: '1' }] } }, TEXT: 'token', files: ['plain', null] }, auth: { domain: 'acme.bitrix24.com' }, ts: null
  })
  t.strictSame(tree, before, 'the tree that was given is as it was')
  const stored = JSON.parse(JSON.stringify({ rest, secrets })) as { rest: unknown, secrets: typeof secrets }
  restoreSecrets(stored.rest, stored.secrets)
  t.strictSame(stored.rest, before)
})

import t from 'tap'
import { readInstallation } from '../../src/portal/installation.ts'

t.test('whatever a portal says of the app on it is read, or left out', async t => {
  t.match(readInstallation({ INSTALLED: true, VERSION: 3, STATUS: 'P', LICENSE: 'ru_basic', PAYMENT_EXPIRED: 'N' }), { isFinished: true, version: '3', status: 'P', license: 'ru_basic', isPaymentExpired: false })
  for (const odd of [{ toString: 1 }, { toString: { a: 1 }, valueOf: 1 }, [[]], null, true]) {
    t.match(readInstallation({ INSTALLED: odd, VERSION: odd, STATUS: odd, LICENSE: odd }), { version: undefined, status: undefined, license: undefined })
  }
  for (const none of [undefined, null, [], 'no']) t.match(readInstallation(none), { isFinished: false, version: undefined })
})

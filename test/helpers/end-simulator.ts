import { strict as assert } from 'node:assert'
import type { Simulator } from '../../src/testing/index.ts'
import { keepLog } from './kept-logs.ts'
import { remember } from './secrets.ts'

/** What Bitrix24's SDK says of itself. */
const HARMLESS = ['bx24_request_id', 'bx24_sdk_ver', 'bx24_sdk_type']

/** Closes a simulator; throws when an app that it served put anything else into the query of a URL, where every proxy would log it. */
export async function endSimulator (b24: Simulator): Promise<void> {
  for (const value of b24.secrets()) remember(value)
  await b24.close()
  const asked = [
    ...b24.requests.map(({ path, inUrl }) => ({ path, inUrl })),
    ...b24.portals().flatMap(({ calls }) => calls.map(({ method, inUrl }) => ({ path: method, inUrl })))
  ]
  keepLog([...new Set(asked.map(({ path }) => path))].join('\n'))
  assert.deepEqual(asked.filter(({ inUrl }) => inUrl.some(name => !HARMLESS.includes(name))), [], 'no secret stands in a URL')
}

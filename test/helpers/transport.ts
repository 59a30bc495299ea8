import type { Test } from 'tap'
import { RestTransport, type TransportOptions } from '../../src/portal/rest/rest-transport.ts'

/** What reaches portals, those of the simulator too, until the test ends. */
export function transportOf (t: Test, options: Partial<TransportOptions> = {}): RestTransport {
  const transport = new RestTransport({ allowPrivateNetworks: true, ...options })
  t.teardown(() => transport.close())
  return transport
}

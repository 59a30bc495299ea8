import type { FastifyInstance } from 'fastify'

const CODE = 'FST_B24_WRN_TRUST_PROXY'
const MESSAGE = "request has the header '%s', but Fastify's trustProxy is off: behind a proxy all senders appear as one address and share its limits; set trustProxy"

/** Warns once if a request seems to come through a proxy that Fastify does not trust, so that all senders have the proxy's IP address. */
export function warnWithoutTrustProxy (scope: FastifyInstance): void {
  let isWarned = false
  scope.addHook('onRequest', ({ headers, ips, log }, _reply, done) => {
    const header = isWarned || ips !== undefined ? undefined : ['x-forwarded-for', 'forwarded'].find(name => headers[name] !== undefined)
    if (header !== undefined) {
      isWarned = true
      log.warn({ code: CODE }, MESSAGE, header)
    }
    done()
  })
}

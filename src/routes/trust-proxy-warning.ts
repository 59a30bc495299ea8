import type { FastifyInstance } from 'fastify'

const CODE = 'FST_B24_WRN_TRUST_PROXY'
const MESSAGE = "a request came with the header '%s', and Fastify's option trustProxy is off: if a proxy stands in front, name it there, or all senders count as one and share its places"

/** Warns once when a request seems to have come through a proxy that Fastify does not know of: all senders behind it have one IP address then. */
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

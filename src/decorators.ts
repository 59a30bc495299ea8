import type { FastifyInstance } from 'fastify'
import { Bitrix24 } from './bitrix24.ts'
import { check } from './validation.ts'
import type { Settings } from './options.ts'
import type { Portal } from './portal/portal.ts'

const kPortal = Symbol('fastify-bitrix24.portal')

/** Client ids of the apps of each server, in whatever scope they are registered. */
const clientIds = new WeakMap<object, Set<string>>()

/** Apps by `namespace`; extend it to have `app.bitrix24.<namespace>` typed, in place of the one app without a namespace. */
export interface Bitrix24Namespaces {}

declare module 'fastify' {
  interface FastifyInstance {
    bitrix24: [keyof Bitrix24Namespaces] extends [never] ? Bitrix24 : Bitrix24Namespaces
  }
  interface FastifyRequest {
    /** The portal that an accepted event came from; `null` on every other request. */
    portal: Portal | null
  }
}

/**
 * Before anything is opened: tells whether the app can live beside those that are registered already.
 *
 * @throws FST_B24_INVALID_OPTIONS
 */
export function checkConflicts (fastify: FastifyInstance, { clientId, namespace }: Settings): void {
  // They would have one queue and one store, and each would take events of the other.
  check(clientIds.get(fastify.server)?.has(clientId) !== true, `clientId '${clientId}' is registered already, and one server has an app once`)
  if (!fastify.hasDecorator('bitrix24')) return
  const others: object = fastify.bitrix24
  check(namespace !== undefined && !(others instanceof Bitrix24), 'app.bitrix24 is taken: where one server has several apps, give each a namespace')
  check(!(namespace in others), `namespace '${namespace}' is taken: give each app its own`)
}

/** Makes the app known as `app.bitrix24`, or under its namespace there, and gives requests their `portal`. */
export function decorate (fastify: FastifyInstance, { clientId, namespace }: Settings, bitrix24: Bitrix24): void {
  clientIds.set(fastify.server, (clientIds.get(fastify.server) ?? new Set()).add(clientId))
  if (namespace === undefined) {
    fastify.decorate('bitrix24', bitrix24)
  } else {
    if (!fastify.hasDecorator('bitrix24')) fastify.decorate('bitrix24', Object.create(null))
    Object.assign(fastify.bitrix24, { [namespace]: bitrix24 })
  }
  // Once for all namespaces; where the host has a `portal` of its own, Fastify says so.
  if (!fastify.hasRequestDecorator(kPortal)) fastify.decorateRequest('portal', null).decorateRequest(kPortal, true)
}

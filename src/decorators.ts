import type { FastifyInstance } from 'fastify'
import { Bitrix24 } from './bitrix24.ts'
import { check } from './validation.ts'
import type { Settings } from './options.ts'
import type { Portal } from './portal/portal.ts'

const kPortal = Symbol('fastify-bitrix24.portal')

/** Client ids of the apps of each server, across all scopes. */
const clientIds = new WeakMap<object, Set<string>>()

/** Apps by `namespace`; extend it to type `app.bitrix24.<namespace>` instead of a single app without a namespace. */
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
 * Checks the app against those already registered, before anything is opened.
 *
 * @throws FST_B24_INVALID_OPTIONS for a duplicate client id or namespace
 */
export function checkConflicts (fastify: FastifyInstance, { clientId, namespace }: Settings): void {
  // They would share a queue and a store, and handle each other's events.
  check(clientIds.get(fastify.server)?.has(clientId) !== true, `clientId '${clientId}' is already registered on this server`)
  if (!fastify.hasDecorator('bitrix24')) return
  const others: object = fastify.bitrix24
  check(namespace !== undefined && !(others instanceof Bitrix24), 'app.bitrix24 is already in use: with several apps on one server, set a namespace for each')
  check(!(namespace in others), `namespace '${namespace}' is already in use: set a different one for each app`)
}

/** Decorates Fastify with `app.bitrix24`, or with the namespace there, and requests with `portal`. */
export function decorate (fastify: FastifyInstance, { clientId, namespace }: Settings, bitrix24: Bitrix24): void {
  clientIds.set(fastify.server, (clientIds.get(fastify.server) ?? new Set()).add(clientId))
  if (namespace === undefined) {
    fastify.decorate('bitrix24', bitrix24)
  } else {
    if (!fastify.hasDecorator('bitrix24')) fastify.decorate('bitrix24', Object.create(null))
    Object.assign(fastify.bitrix24, { [namespace]: bitrix24 })
  }
  // Once for all namespaces; Fastify throws if the host already has a `portal` decorator.
  if (!fastify.hasRequestDecorator(kPortal)) fastify.decorateRequest('portal', null).decorateRequest(kPortal, true)
}

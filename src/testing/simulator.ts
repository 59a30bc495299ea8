import Fastify from 'fastify'
import type { BucketOptions } from './portal/limits.ts'
import { type Fault, FaultList, type FaultPoint } from './faults.ts'
import { addFrameRoutes } from './frame-server.ts'
import { addOAuthRoutes, originOf, type OAuthRequest } from './oauth/oauth-server.ts'
import { SimulatedPortal } from './portal/portal.ts'
import { addRestRoutes, addRestV3Routes } from './rest/rest-server.ts'
import { TokenRegistry } from './tokens.ts'

export interface SimulatorOptions {
  clientId: string
  clientSecret: string
  /**
   * Port on loopback.
   * @default a free one
   */
  port?: number
  /** Rate limit of each portal's REST. */
  limits?: BucketOptions
}

/** A simulated Bitrix24 on loopback: an OAuth server, and portals that send events and serve REST. */
export interface Simulator {
  /** Origin of the OAuth server, for the option `oauthServers`. */
  readonly oauthServer: string
  /** Requests to the OAuth server, in order; contains no secret. */
  readonly requests: readonly OAuthRequest[]
  /** Returns the portal at a domain, such as `acme.bitrix24.com`; creates it if needed. */
  portal (domain: string): SimulatedPortal
  portals (): SimulatedPortal[]
  /** Registers another app at the OAuth server, so that `portal.issue({ clientId })` creates tokens for it. */
  app (keys: { clientId: string, clientSecret: string }): void
  /** Returns every token and secret ever issued, to search logs for. */
  secrets (): string[]
  /**
   * Adds a fault to the OAuth server, for all requests or those about `portal`.
   * @returns a function that removes the fault
   */
  fault (point: FaultPoint, fault: Fault): () => void
  clearFaults (): void
  /** Closes the server and aborts pending requests. */
  close (): Promise<void>
  [Symbol.asyncDispose] (): Promise<void>
}

/** Starts a simulator. */
export async function createSimulator ({ clientId, clientSecret, port = 0, limits }: SimulatorOptions): Promise<Simulator> {
  const tokens = new TokenRegistry()
  const faults = new FaultList()
  const requests: OAuthRequest[] = []
  const portals = new Set<SimulatedPortal>()
  const server = Fastify({ forceCloseConnections: true })
  addOAuthRoutes(server, { tokens, faults, requests })
  const find = (domain: string) => [...portals].find(portal => portal.domain === domain)
  const findRenamed = (domain: string) => [...portals].find(({ formerDomains }) => formerDomains.has(domain))
  const restParts = { tokens, find: (domain: string) => find(domain) ?? findRenamed(domain) }
  await server.register(async scope => await addRestRoutes(scope, restParts))
  await server.register(async scope => await addRestV3Routes(scope, restParts))
  await addFrameRoutes(server, { find })
  tokens.addApp(clientId, clientSecret)
  await server.listen({ port, host: '127.0.0.1' })
  const origin = originOf(server)
  const add = (domain: string) => {
    const portal = new SimulatedPortal(domain, { tokens, clientId, origin, limits })
    portals.add(portal)
    return portal
  }
  return {
    oauthServer: origin,
    requests,
    portal: domain => find(domain) ?? add(domain),
    portals: () => [...portals],
    app: keys => tokens.addApp(keys.clientId, keys.clientSecret),
    secrets: () => tokens.secrets(),
    fault: (point, fault) => faults.add(point, fault),
    clearFaults: () => faults.clear(),
    close: async () => await server.close(),
    [Symbol.asyncDispose]: async () => await server.close()
  }
}

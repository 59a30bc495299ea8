// Stands in for Bitrix24 where there is none: an OAuth server and three portals whose users work.
import { setTimeout as delay } from 'node:timers/promises'
import { createSimulator, type SimulatedPortal } from 'fastify-bitrix24/testing'
import { simulatedKeys, simulatorPort } from './settings.ts'

const DOMAINS = ['acme.bitrix24.com', 'globex.bitrix24.eu', 'initech.bitrix24.de']

/** Something that happens at a portal; `id` counts up. */
const WORK: ReadonlyArray<(portal: SimulatedPortal, id: number) => Promise<{ statusCode: number }>> = [
  (portal, id) => portal.send('onCrmDynamicItemAdd', { FIELDS: { ID: id, ENTITY_TYPE_ID: 31 } }),
  (portal, id) => portal.send('onCrmDynamicItemUpdate', { FIELDS: { ID: id, ENTITY_TYPE_ID: 1220 } }),
  (portal, id) => portal.send('onCrmDealAdd', { FIELDS: { ID: id } }),
  (portal, id) => portal.send('onCrmDynamicItemDelete', { FIELDS: { ID: id, ENTITY_TYPE_ID: 1220 } }),
  (portal, id) => portal.send('onCrmDealUpdate', { FIELDS: { ID: id } })
]

export interface Simulation {
  /** How many portals there are. */
  portals: number
  /** Installs the app on every portal and lets them work until `stop`. */
  start (appUrl: string): Promise<void>
  stop (): Promise<void>
}

export async function simulateBitrix24 (): Promise<Simulation> {
  const b24 = await createSimulator({ ...simulatedKeys, port: simulatorPort })
  const portals = DOMAINS.map(domain => b24.portal(domain))
  const stopped = new AbortController()
  let stored = 0
  return {
    portals: portals.length,
    async start (appUrl) {
      for (const portal of portals) await portal.install(`${appUrl}/events`)
      for (let id = 1; !stopped.signal.aborted; id++) {
        for (const portal of portals) {
          const delivery = await WORK[id % WORK.length]?.(portal, id).catch(() => undefined)
          if (delivery?.statusCode === 200) stored++
        }
        await delay(700, undefined, { signal: stopped.signal }).catch(() => {})
      }
    },
    async stop () {
      stopped.abort()
      console.log(`${stored} events were answered 200`)
      await b24.close()
    }
  }
}

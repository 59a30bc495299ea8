// Stands in for Bitrix24 where there is none: an OAuth server and three portals whose users work.
import { setTimeout as delay } from 'node:timers/promises'
import { type Bitrix24, EntityType } from 'fastify-bitrix24'
import { createSimulator, type Delivery, outcome, type SimulatedPortal, waitForIdle } from 'fastify-bitrix24/testing'
import { simulatedKeys, simulatorPort, stopIfTaken } from './settings.ts'

const DOMAINS = ['acme.bitrix24.com', 'globex.bitrix24.eu', 'initech.bitrix24.de']
/** A smart process. */
const ORDER = 1220
const STEP_MS = 700

/** What users do, one after another, and again with the next `id`. The portals post it to who is subscribed. */
const WORK: ReadonlyArray<(portal: SimulatedPortal, id: number) => Promise<Delivery[]>> = [
  (portal, id) => add(portal, ORDER, id, { title: `Order ${id}`, stageId: 'NEW', opportunity: 100 }),
  (portal, id) => add(portal, EntityType.Deal, id, { title: `Deal ${id}`, stageId: 'NEW', opportunity: 1000 }),
  (portal, id) => portal.change(ORDER, id, { stageId: 'PAID', opportunity: 120 }),
  (portal, id) => portal.change(EntityType.Deal, id, { stageId: 'WON' }),
  (portal, id) => add(portal, EntityType.SmartInvoice, id, { title: `Invoice ${id}`, stageId: 'SENT' }),
  (portal, id) => remove(portal, ORDER, id)
]

export interface Simulation {
  /** How many portals there are. */
  portals: number
  /** Installs the app on every portal and lets their users work until `stop`. */
  start (appUrl: string): Promise<void>
  /** Ends the work, and waits until the app has handled it: it asks the portals. */
  stop (bitrix24: Bitrix24): Promise<void>
  close (): Promise<void>
}

export async function simulateBitrix24 (): Promise<Simulation> {
  const b24 = await createSimulator({ ...simulatedKeys, port: simulatorPort }).catch(stopIfTaken('SIMULATOR_PORT', simulatorPort))
  const portals = DOMAINS.map(domain => b24.portal(domain))
  const stopped = new AbortController()
  let working = Promise.resolve()
  let stored = 0

  const pause = () => delay(STEP_MS, undefined, { signal: stopped.signal }).catch(() => {})
  const work = async (appUrl: string): Promise<void> => {
    for (const portal of portals) await portal.install(`${appUrl}/events`)
    // Of what happens before, nobody would hear.
    while (!stopped.signal.aborted && !portals.every(isSubscribed)) await pause()
    for (let step = 0; !stopped.signal.aborted; step++) {
      for (const portal of portals) {
        // An app that closes answers no more.
        const deliveries = await outcome(WORK[step % WORK.length]!(portal, 1 + Math.floor(step / WORK.length)))
        stored += deliveries.filter(({ statusCode }) => statusCode === 200).length
      }
      await pause()
    }
  }
  return {
    portals: portals.length,
    async start (appUrl) {
      working = work(appUrl)
      await working
    },
    async stop (bitrix24) {
      stopped.abort()
      await working
      console.log(`${stored} events were answered 200`)
      await waitForIdle(bitrix24, 5_000).catch(() => console.log('Not all of them are handled'))
    },
    close: () => b24.close()
  }
}

function isSubscribed ({ bindings }: SimulatedPortal): boolean {
  return bindings.find({ event: 'ONCRMDEALUPDATE' }).length > 0
}

async function add (portal: SimulatedPortal, entityTypeId: number, id: number, fields: object): Promise<Delivery[]> {
  portal.items.set(entityTypeId, id, { ...fields })
  return await portal.emitChange(entityTypeId, id, 'ADD')
}

async function remove (portal: SimulatedPortal, entityTypeId: number, id: number): Promise<Delivery[]> {
  portal.items.delete(entityTypeId, id)
  return await portal.emitChange(entityTypeId, id, 'DELETE')
}

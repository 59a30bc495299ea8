import { definitionOf } from '../../events/definitions.ts'

/** What a process is and does, as it starts. */
export interface StartFacts {
  routes: { events: string, install: string }
  /** As `storageOf()` tells it. */
  storage: string
  /** Codes that handlers name. */
  codes: readonly string[]
  isWorker: boolean
  hasPublicUrl: boolean
  /** Portals that are out of sync are subscribed now. */
  syncsNow: boolean
  /** `undefined` where nothing is to be counted, or the store does not answer. */
  portals: FleetCount | undefined
}

export interface FleetCount {
  active: number
  /** Active portals that are subscribed to something else than the code listens to, or to nothing, as far as is known. */
  outOfSync: number
  /** Active portals that refused some of it. */
  refusing: number
  /** Domains of the first that are out of sync. */
  examples: string[]
}

const MOST_NAMES = 10

/** The line that the log has of a start. */
export function startLine ({ routes, storage, codes, isWorker, hasPublicUrl, syncsNow, portals }: StartFacts): { details: object, message: string, isWarning: boolean } {
  const names = codes.map(code => definitionOf(code)?.name ?? code)
  const listed = names.length === 0 ? 'no events' : names.length <= MOST_NAMES ? names.join(', ') : `${names.slice(0, MOST_NAMES).join(', ')} and ${names.length - MOST_NAMES} more`
  const parts = [
    `events: POST ${routes.events}, installs: POST ${routes.install}`,
    `storage: ${storage}`,
    isWorker ? `handlers listen to ${listed}` : 'this process only receives, handlers run in others'
  ]
  if (isWorker && !hasPublicUrl) parts.push('publicUrl is not set, so that nothing is subscribed: set it, or bind events with event.bind')
  if (portals !== undefined) parts.push(...tellPortals(portals, syncsNow))
  const counts = portals === undefined ? {} : { activePortals: portals.active, outOfSync: portals.outOfSync, refusing: portals.refusing }
  return { details: { routes, storage, events: names, ...counts }, message: parts.join('; '), isWarning: portals !== undefined && portals.outOfSync > 0 && !syncsNow }
}

function tellPortals ({ active, outOfSync, refusing }: FleetCount, syncsNow: boolean): string[] {
  const remedy = syncsNow ? 'they are subscribed now' : "set subscriptions.sync to 'start', or call syncSubscriptions()"
  const first = active === 0
    ? 'no portal has installed the app yet'
    : outOfSync === 0 ? `subscribed portals: all ${active}` : `${outOfSync} of ${active} portals lack a subscription to some of it: ${remedy}`
  return refusing === 0 ? [first] : [first, `${refusing} portals refused some of it: compare the permissions of the app`]
}

import { FairQueue, type FairQueueLimits } from './fair-queue.ts'
import { sourceOf } from './source-of.ts'

/** Runs the checks of installs, so that a flood of forged ones from a few senders delays nobody else for long. */
export interface CheckQueue {
  /**
   * Runs `check` when its turn comes. Checks of strangers share their places fairly between the sources; those of known portals have
   * places of their own, and share them fairly between the portals.
   *
   * What stays possible: a sender with as many IPv4 addresses or IPv6 /64s as checks may wait (256) can crowd others out.
   *
   * @param source IP address of the sender, of IPv6 its /64 counts. A proxy in front is one source for all behind it,
   *   unless Fastify's `trustProxy` names it; were every proxy trusted, a sender could name its own address.
   * @param portal member id, only where the post itself proved that it is of that portal, as by the token that is kept of it: a
   *   member id is easy to claim
   * @throws FST_B24_INSTALL_BUSY when no place is left, or its place to wait was taken by a source that holds fewer
   */
  run<T> (source: string, portal: string | undefined, check: () => Promise<T>): Promise<T>
  /** Checks that run or wait now. */
  readonly size: number
}

/** Makes the queue; each of its two lanes has `limits`. */
export function createCheckQueue (limits?: FairQueueLimits): CheckQueue {
  const claimed = new FairQueue(limits)
  const proven = new FairQueue(limits)
  return {
    run: (source, portal, check) => portal === undefined ? claimed.run(sourceOf(source), check) : proven.run(portal, check),
    get size () { return claimed.size + proven.size }
  }
}

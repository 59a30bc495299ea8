import { FST_B24_STORE_UNAVAILABLE } from '../errors.ts'
import { digestToken, provesToken, provesUninstall } from '../installs/application-token.ts'
import type { InstallStore, StoredInstall } from '../installs/store.ts'
import { applyFact, type InstallFact, type VerifiedInstall } from '../installs/transitions.ts'
import type { Envelope } from '../wire/envelope.ts'
import { readLifecycleData } from './lifecycle-data.ts'
import { lifecycleReceipt } from './lifecycle-receipt.ts'
import type { PairCheck, VerifiedPair } from './pair-check.ts'
import { rejected, type Receipt } from './receipt.ts'

/** Applies one lifecycle event to the install of its portal. */
export type ApplyLifecycle = (envelope: Envelope, stored: StoredInstall | undefined, ip: string) => Promise<Receipt>

/** Losing a race means that another writer won, so few rounds are needed; a store that takes no write must not hold a request for ever. */
const MOST_SWAPS = 50

/**
 * The events that change an install. Each brings its own proof: a pair that the OAuth server confirms, or, where the app
 * has no rights any more, the token alone.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/tree/main/api-reference/common/events
 */
export class Lifecycle {
  readonly #store: InstallStore
  readonly #pairs: PairCheck
  readonly #byCode: ReadonlyMap<string, ApplyLifecycle> = new Map<string, ApplyLifecycle>([
    ['ONAPPINSTALL', (envelope, stored, ip) => this.#install(envelope, stored, ip)],
    ['ONAPPUPDATE', (envelope, stored, ip) => this.#update(envelope, stored, ip)],
    ['ONAPPUSERREADY', (envelope, stored, ip) => this.#userReady(envelope, stored, ip)],
    ['ONAPPUNINSTALL', (envelope, stored) => this.#uninstall(envelope, stored)]
  ])

  constructor (store: InstallStore, pairs: PairCheck) {
    this.#store = store
    this.#pairs = pairs
  }

  /** What applies an event, or `undefined` when it is none of these. */
  find (code: string): ApplyLifecycle | undefined {
    return this.#byCode.get(code)
  }

  async #install (envelope: Envelope, stored: StoredInstall | undefined, ip: string): Promise<Receipt> {
    const verified = await this.#verify(envelope, stored, ip)
    if (verified.status === 'rejected') return verified
    const { ts, version } = readLifecycleData(envelope)
    return await this.#commit({ type: 'installed', ts, version, ...verified.install }, envelope, stored)
  }

  async #update (envelope: Envelope, stored: StoredInstall | undefined, ip: string): Promise<Receipt> {
    const { ts, version } = readLifecycleData(envelope)
    // An update that Bitrix24 could not link to a user brings no pair.
    if (envelope.auth.access_token === undefined && isProven(envelope, stored)) {
      return await this.#commit({ type: 'updated', ts, version }, envelope, stored)
    }
    const verified = await this.#verify(envelope, stored, ip)
    if (verified.status === 'rejected') return verified
    return await this.#commit({ type: 'updated', ts, version, verified: verified.install }, envelope, stored)
  }

  /** The pair in `data` is the system user's. The one in `auth` is the installer's: the first word of an install, if this event overtook it. */
  async #userReady (envelope: Envelope, stored: StoredInstall | undefined, ip: string): Promise<Receipt> {
    const { ts } = readLifecycleData(envelope)
    const { member_id: memberId } = envelope.auth
    const wasProven = isProven(envelope, stored)
    const verified = await this.#pairs.check(memberId, envelope.data, { ip, isProven: wasKnown(envelope, stored) })
    if (verified.status === 'rejected') return verified
    const fact: InstallFact = { type: 'userReady', ts, pair: verified.pair }
    if (wasProven) return await this.#commit(fact, envelope, stored)

    const install = await this.#install(envelope, stored, ip)
    if (install.status !== 'accepted') return install
    const userReady = await this.#commit(fact, envelope, await this.#store.get(memberId))
    if (userReady.status !== 'accepted') return userReady
    return { ...userReady, announcements: [...install.announcements, ...userReady.announcements] }
  }

  async #uninstall (envelope: Envelope, stored: StoredInstall | undefined): Promise<Receipt> {
    if (!provesUninstall(stored?.install, envelope.auth.application_token, Date.now())) {
      return rejected(stored === undefined ? 'unknown_portal' : 'wrong_token')
    }
    return await this.#commit({ type: 'uninstalled', ts: readLifecycleData(envelope).ts }, envelope, stored)
  }

  async #verify (envelope: Envelope, stored: StoredInstall | undefined, ip: string): Promise<VerifiedPost | (Receipt & { status: 'rejected' })> {
    const { auth } = envelope
    if (!auth.application_token) return rejected('no_tokens')
    const verified = await this.#pairs.check(auth.member_id, auth, { ip, isProven: wasKnown(envelope, stored) })
    if (verified.status === 'rejected') return verified
    return { status: 'verified', install: installOf(auth.member_id, auth.application_token, verified) }
  }

  async #commit (fact: InstallFact, envelope: Envelope, stored: StoredInstall | undefined): Promise<Receipt> {
    let known = stored
    for (let swaps = 0; swaps < MOST_SWAPS; swaps++) {
      const { outcome, install } = applyFact(known?.install, fact, Date.now())
      if (install === undefined) return rejected('unknown_portal')
      if (install === known?.install || await this.#store.swap(install.memberId, known?.version ?? 0, install)) {
        return lifecycleReceipt(outcome, install, known?.install, readLifecycleData(envelope))
      }
      known = await this.#store.get(install.memberId)
    }
    throw new FST_B24_STORE_UNAVAILABLE({ cause: new Error(`${MOST_SWAPS} writes in a row came too late`) })
  }
}

interface VerifiedPost {
  status: 'verified'
  install: VerifiedInstall
}

/** Whether the sender has the token of the portal, be it uninstalled: reason enough not to make it wait behind strangers. */
function wasKnown ({ auth }: Envelope, stored: StoredInstall | undefined): boolean {
  return provesUninstall(stored?.install, auth.application_token, Date.now())
}

function isProven ({ auth }: Envelope, stored: StoredInstall | undefined): boolean {
  return provesToken(stored?.install, auth.application_token, Date.now())
}

function installOf (memberId: string, applicationToken: string, { grant, pair }: VerifiedPair): VerifiedInstall {
  const { domain, clientEndpoint, oauthServer, scope, status } = grant
  return { memberId, domain, clientEndpoint, oauthServer, scope, status, pair, tokenDigest: digestToken(applicationToken) }
}

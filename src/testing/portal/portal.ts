import { randomBytes } from 'node:crypto'
import { answered, burst, type BurstOptions, deliver, type Delivery } from './deliver.ts'
import type { Identity, SendOverrides } from './sender.ts'
import { frameForm, type FrameForm, type OpenOptions } from './frame.ts'
import { describePair } from '../oauth/oauth-answers.ts'
import { RestPortal } from './rest-portal.ts'
import type { SimulatedPair } from '../tokens.ts'
import { ADMIN, type SimulatedUser, SYSTEM_USER } from './users.ts'

/** An event for `sendMany`. */
export interface EventToSend {
  name: string
  data?: unknown
  overrides?: SendOverrides
}

/** An outgoing webhook, created manually on the portal, with its own token and without OAuth tokens. */
export interface SimulatedWebhook {
  readonly applicationToken: string
  send (name: string, data?: unknown, overrides?: SendOverrides): Promise<Delivery>
}

/** URLs of an app's pages. */
export interface AppPages {
  installUrl?: string
  appUrl?: string
}

/**
 * A portal that sends events like Bitrix24: never twice, and without waiting for previous ones. Methods that send to the app reject with an
 * `UnansweredError` if there is no response.
 */
export class SimulatedPortal extends RestPortal {
  /** URL for events; set by `install`. */
  eventsUrl: string | undefined
  /** Pair sent with the last install or update. */
  installer: SimulatedPair | undefined
  /** Pair of the system user sent with the last ONAPPUSERREADY. */
  systemUser: SimulatedPair | undefined
  #pages: AppPages = {}
  readonly #frames = new Map<string, number>()

  /** Installs or reinstalls the app and sends ONAPPINSTALL, which Bitrix24 binds to the URL automatically. */
  async install (eventsUrl: string, overrides: SendOverrides = {}): Promise<Delivery> {
    this.eventsUrl = eventsUrl
    this.installed = true
    const { clientId } = this.environment
    this.removedApps.delete(clientId)
    this.bindings.add({ clientId, event: 'ONAPPINSTALL', handler: eventsUrl, userId: 0, offline: false, connector: '' })
    const data = { VERSION: String(this.version), ACTIVE: 'Y', INSTALLED: 'Y', LANGUAGE_ID: 'en' }
    return await this.#sendAsInstaller('ONAPPINSTALL', data, overrides)
  }

  /** Reinstalls the app at the same URL, as after an uninstall or by installFinish. */
  async reinstall (overrides: SendOverrides = {}): Promise<Delivery> {
    return await this.install(this.#urlOf(overrides), overrides)
  }

  /** Starts installing or updating an app with an install page: no events are sent until `finishInstall`. */
  beginInstall (pages: AppPages): void {
    this.#pages = pages
    this.installed = false
    this.removedApps.delete(this.environment.clientId)
  }

  /** Finishes the install like `BX24.installFinish()`: events are sent from now on, starting with ONAPPINSTALL if bound. */
  async finishInstall (user = ADMIN): Promise<Delivery[]> {
    if (this.installed) return []
    this.installed = true
    const data = { VERSION: String(this.version), ACTIVE: 'Y', INSTALLED: 'Y', LANGUAGE_ID: 'en' }
    return await this.emit({ code: 'ONAPPINSTALL', data }, { userId: user })
  }

  /** URL of the app's page: the install page until the install is finished. */
  get pageUrl (): string | undefined {
    return this.installed ? this.#pages.appUrl : this.#pages.installUrl
  }

  /** URL of the script for embedded pages, instead of `https://api.bitrix24.com/api/v1/`. */
  get bx24Url (): string {
    return new URL('../bx24.js', this.clientEndpoint).href
  }

  /** URL of the portal's page that embeds the app; `?user=2` for another user. */
  get framePageUrl (): string {
    return new URL('../marketplace/app/', this.clientEndpoint).href
  }

  /** Posts the form of a page like a user's browser: the app, its install page, a placement. */
  async openApp (url = this.pageUrl, options: OpenOptions = {}): Promise<Delivery> {
    if (url === undefined) throw new Error(`${this.domain} has no page of the app: call beginInstall() first, or pass a URL`)
    const form = this.frameForm(url, options)
    const origin = `https://${this.domain}`
    const headers = { 'User-Agent': 'Mozilla/5.0', Origin: origin, Referer: `${origin}/` }
    return answered('openApp()', await deliver({ url: form.url, body: new URLSearchParams(form.fields).toString(), headers }))
  }

  /** Returns the form of a page, with a new pair of the user. */
  frameForm (url: string, options: OpenOptions = {}): FrameForm {
    const { user = ADMIN } = options
    const pair = this.issue({ userId: user })
    if (!this.installed && this.user(user).admin) this.installer = pair
    const appSid = randomBytes(16).toString('hex')
    this.#frames.set(appSid, user)
    return frameForm(url, { pair, applicationToken: this.applicationToken, origin: this.environment.origin, appSid }, options)
  }

  /** Returns the user who opened a frame. */
  userOfFrame (appSid: string): SimulatedUser | undefined {
    const user = this.#frames.get(appSid)
    return user === undefined ? undefined : this.user(user)
  }

  /** Moves the app to the next version and sends ONAPPUPDATE. */
  async update (overrides: SendOverrides = {}): Promise<Delivery> {
    const previous = this.version++
    const data = { VERSION: String(this.version), PREVIOUS_VERSION: String(previous), LANGUAGE_ID: 'en' }
    return await this.#sendAsInstaller('ONAPPUPDATE', data, overrides)
  }

  /** Creates the app's system user and sends ONAPPUSERREADY, with its pair in `data` and the installer's in `auth`. */
  async userReady (overrides: SendOverrides = {}): Promise<Delivery> {
    const { origin, clientId } = this.environment
    this.systemUser = this.sender.issueAged(SYSTEM_USER, overrides)
    const { expires: _, ...pair } = describePair(this.systemUser, origin)
    // As documented, `domain` of both is the OAuth server.
    const auth = overrides.auth === null ? null : { domain: new URL(origin).host, ...overrides.auth }
    return await this.#sendAsInstaller('ONAPPUSERREADY', { ...pair, client_id: clientId, LANGUAGE_ID: 'en' }, { ...overrides, auth })
  }

  /** Uninstalls the app with its tokens, bindings and offline events, and sends ONAPPUNINSTALL. */
  async uninstall ({ clean = false, ...overrides }: SendOverrides & { clean?: boolean } = {}): Promise<Delivery> {
    const { tokens, clientId } = this.environment
    this.removedApps.add(clientId)
    for (const pair of tokens.pairsOf(this, clientId)) pair.alive = false
    this.bindings.remove({ clientId })
    this.offlineEvents.removeApp(clientId)
    return await this.#send('ONAPPUNINSTALL', { LANGUAGE_ID: 'en', CLEAN: clean ? 1 : 0 }, overrides, this.app({ sendsTokens: false }))
  }

  /** Sends an event to the app, bound or not; the case of the name is ignored. `data` is encoded as by PHP. */
  async send (name: string, data?: unknown, overrides: SendOverrides = {}): Promise<Delivery> {
    return await this.#send(name, data, overrides, this.app())
  }

  /** Sends many events concurrently, optionally with copies and out of order. */
  async sendMany (events: Iterable<EventToSend>, options?: BurstOptions): Promise<Delivery[]> {
    const identity = this.app()
    const requests = Array.from(events, ({ name, data, overrides = {} }) => this.sender.requestFor({ name, data, overrides: this.#addressed(overrides), identity }))
    return answered('sendMany()', await burst(requests, deliver, options))
  }

  /** Adds an outgoing webhook. */
  webhook (url: string, applicationToken = randomWebhookToken()): SimulatedWebhook {
    const identity = { token: this.environment.tokens.rememberSecret(applicationToken), sendsTokens: false, binding: url }
    return {
      applicationToken,
      send: async (name, data, overrides = {}) => await this.#send(name, data, { url, ...overrides }, identity)
    }
  }

  /** Sends with a delay of a second, so that a following uninstall is later: `ts` is in whole seconds. */
  async #sendAsInstaller (name: string, data: object, sent: SendOverrides): Promise<Delivery> {
    const overrides = { lateSeconds: 1, ...sent }
    const pair = this.sender.issueAged(overrides.user ?? ADMIN, overrides)
    this.installer = pair
    return answered(name, await this.sender.send({ name, data, overrides: this.#addressed(overrides), identity: this.app(), pair }))
  }

  async #send (name: string, data: unknown, overrides: SendOverrides, identity: Identity): Promise<Delivery> {
    return answered(name, await this.sender.send({ name, data, overrides: this.#addressed(overrides), identity }))
  }

  #addressed (overrides: SendOverrides): SendOverrides & { url: string } {
    return { ...overrides, url: this.#urlOf(overrides) }
  }

  #urlOf ({ url = this.eventsUrl }: SendOverrides): string {
    if (url === undefined) throw new Error(`${this.domain} has no events URL: call install() first, or pass { url }`)
    return url
  }
}

/** Returns 32 letters and digits, not necessarily hex. */
function randomWebhookToken (): string {
  return Array.from(randomBytes(32), byte => (byte % 36).toString(36)).join('')
}

import type { Test } from 'tap'
import { digestToken } from '../../src/installs/application-token.ts'
import type { Install, PairOwner, EncryptedPair } from '../../src/installs/install.ts'
import type { InstallStore } from '../../src/storage/install-store.ts'
import { applyFact } from '../../src/installs/install-transitions.ts'
import { createEncryptor, type Encryptor } from '../../src/oauth/encryption.ts'
import type { Locks } from '../../src/storage/storage.ts'
import { KeepAlive } from '../../src/portal/tokens/keep-alive.ts'
import { Tokens, type TokensParts, type TokenTimes } from '../../src/portal/tokens/tokens.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import { appId } from '../../src/storage/redis/keys.ts'
import { createSimulator, type SimulatedPair, type SimulatedPortal, type Simulator } from '../../src/testing/index.ts'
import { endSimulator } from './end-simulator.ts'
import { keepLog } from './kept-logs.ts'
import { forgetApp } from './redis-keys.ts'
import { secret } from './secrets.ts'
import { storageSettings } from './test-storage.ts'

/** What a process needs to find the tokens of an app. */
export interface TokenSettings {
  storage: { redis: string } | { dataDir: string }
  clientId: string
  clientSecret: string
  oauthServer: string
  times?: Partial<TokenTimes>
}

export interface TokenPlace {
  store: InstallStore
  locks: Locks
  close (): Promise<void>
}

export async function openPlace ({ storage, clientId }: TokenSettings): Promise<TokenPlace> {
  const opened = await openStorage({ dataDir: '', ...storage }, storageSettings(appId(clientId)))
  return { store: opened.installs, locks: opened.locks, close: async () => await opened.close() }
}

/** Logs where the suite looks for secrets. */
export function logTo (lines: unknown[]): TokensParts['log'] {
  const write = (level: string) => (...line: unknown[]) => {
    lines.push([level, ...line])
    keepLog(JSON.stringify(line))
  }
  return { info: write('info'), warn: write('warn'), error: write('error') } as TokensParts['log']
}

interface KeepAliveSetting extends Pick<Partial<TokensParts>, 'times'> {
  signal?: AbortSignal
  scan?: InstallStore['scan']
}

/** An app whose tokens are asked for, at a simulated Bitrix24. */
export class TokenWorld {
  readonly b24: Simulator
  readonly settings: TokenSettings
  readonly place: TokenPlace
  readonly encryptor: Encryptor
  readonly reported: unknown[][] = []
  readonly logs: unknown[] = []
  /** Added to the clock. */
  aheadMs = 0

  private constructor (b24: Simulator, settings: TokenSettings, place: TokenPlace) {
    this.b24 = b24
    this.settings = settings
    this.place = place
    this.encryptor = createEncryptor([], settings.clientSecret, settings.clientId)
  }

  static async open (t: Test, storage: TokenSettings['storage']): Promise<TokenWorld> {
    const keys = { clientId: `local.${secret().slice(1, 20)}`, clientSecret: secret() }
    const b24 = await createSimulator(keys)
    const settings = { storage, ...keys, oauthServer: b24.oauthServer }
    if ('redis' in storage) forgetApp(t, keys.clientId)
    const place = await openPlace(settings)
    t.teardown(async () => {
      await place.close()
      await endSimulator(b24)
    })
    return new TokenWorld(b24, settings, place)
  }

  now = (): number => Date.now() + this.aheadMs

  /** Another process, as it were: only store and locks are shared. */
  tokens (t: Test, { oauth, ...over }: Partial<Omit<TokensParts, 'oauth'>> & { oauth?: Partial<TokensParts['oauth']> } = {}): Tokens {
    const { clientId, clientSecret, oauthServer, times } = this.settings
    const tokens = new Tokens({
      ...this.place,
      encryptor: this.encryptor,
      oauth: { clientId, clientSecret, allowedServers: [oauthServer], ...oauth },
      listener: {
        reauthRequired: memberId => { this.reported.push(['reauthRequired', memberId]) },
        renamed: (...names) => { this.reported.push(['renamed', ...names]) },
        suspended: memberId => { this.reported.push(['suspended', memberId]) }
      },
      log: logTo(this.logs),
      now: this.now,
      times,
      ...over
    })
    t.teardown(() => tokens.close(0))
    return tokens
  }

  /** What keeps the tokens of another process alive. */
  keepAlive (t: Test, { signal = new AbortController().signal, scan = this.place.store.scan.bind(this.place.store), ...over }: KeepAliveSetting = {}): KeepAlive {
    return new KeepAlive({ store: { scan }, tokens: this.tokens(t, over), log: logTo(this.logs), signal, now: this.now })
  }

  /** Writes the record that a verified install makes, again where there is one; the token's hour is over unless `expired` says no. */
  async install (portal: SimulatedPortal, { systemUser = false, expired = true } = {}): Promise<Install> {
    const { memberId, domain, clientEndpoint, scope } = portal
    const { oauthServer } = this.settings
    const verified = { memberId, domain, clientEndpoint, oauthServer, tokenDigest: digestToken(portal.applicationToken), scope, pair: this.#encrypted(portal.issue()), isRefreshed: true }
    await this.#apply(memberId, install => applyFact(install, { type: 'installed', ...verified }, this.now()).install)
    if (systemUser) {
      const pair = this.#encrypted(portal.issue({ userId: 1000 }))
      await this.#apply(memberId, install => applyFact(install, { type: 'userReady', pair, isRefreshed: true }, this.now()).install)
    }
    if (expired) await this.expire(portal)
    return await this.record(portal)
  }

  /** Ends the hour of all kept access tokens. */
  async expire (portal: SimulatedPortal): Promise<void> {
    portal.expireTokens()
    await this.change(portal, ({ installer, systemUser }) => ({
      ...(installer !== undefined && { installer: { ...installer, expiresAt: this.now() - 1 } }),
      ...(systemUser !== undefined && { systemUser: { ...systemUser, expiresAt: this.now() - 1 } })
    }))
  }

  async change (portal: SimulatedPortal, change: (install: Install) => Partial<Install>): Promise<void> {
    await this.#apply(portal.memberId, install => ({ ...install as Install, ...change(install as Install) }))
  }

  async record ({ memberId }: SimulatedPortal): Promise<Install> {
    return (await this.place.store.get(memberId))?.install as Install
  }

  /** The access token that is kept. */
  async keptToken (portal: SimulatedPortal, owner: PairOwner = 'installer'): Promise<string> {
    return this.encryptor.decrypt((await this.record(portal))[owner]!.encrypted, portal.memberId).accessToken
  }

  /** How often a pair was to be traded. */
  get refreshes (): number {
    return this.b24.requests.filter(({ grantType, memberId }) => grantType === 'refresh_token' && memberId !== undefined).length
  }

  get questions (): number {
    return this.b24.requests.filter(({ path }) => path.startsWith('/rest/app.info')).length
  }

  #encrypted ({ accessToken, refreshToken, expiresAt, userId, portal }: SimulatedPair): EncryptedPair {
    return { encrypted: this.encryptor.encrypt({ accessToken, refreshToken, expiresAt }, portal.memberId), expiresAt, userId }
  }

  async #apply (memberId: string, next: (install: Install | undefined) => Install | undefined): Promise<void> {
    for (;;) {
      const stored = await this.place.store.get(memberId)
      if (await this.place.store.swap(memberId, stored?.version ?? 0, next(stored?.install) as Install)) return
    }
  }
}

import { App } from './app.ts'
import type { Programs } from './programs.ts'
import type { Started, StartSettings } from './programs/start.ts'
import { atMost, lowerQuartile, type Section } from './table.ts'

const RUNS = 17
const WARM_UP_RUNS = 2
const MOST_MS = 60

interface Run extends Started {
  /** From the start of the process to a ready app, ms. */
  wholeMs: number
}

interface Variant {
  name: string
  settings: StartSettings
  /** Name of the app that is the same without the plugin. */
  without?: string
}

/** What the plugin adds to the start of an app, in processes of their own that take turns. */
export async function measureStartUp (programs: Programs, redisUrl: string): Promise<Section> {
  const apps = [App.of('SQLite', redisUrl).app, App.of('Redis', redisUrl).app] as const
  const variants = variantsOf(redisUrl, ...apps)
  const runs = new Map<string, Run[]>(variants.map(({ name }) => [name, []]))
  for (let count = -WARM_UP_RUNS; count < RUNS; count++) {
    for (const { name, settings } of variants) {
      const run = await startOnce(programs, settings)
      if (count >= 0) runs.get(name)!.push(run)
    }
  }
  for (const app of apps) app.remove()
  const whole = (name: string): number => lowerQuartile(runs.get(name)!.map(({ wholeMs }) => wholeMs))
  const added = ({ name, without }: Variant): number => whole(name) - whole(without!)
  const plugins = variants.filter(({ without }) => without !== undefined)
  return {
    title: `Start-up, from the start of the process to ready, ${RUNS} runs in turn, lower quartiles`,
    rows: variants.map(variant => ({
      name: variant.name,
      figure: `${whole(variant.name).toFixed(0)} ms`,
      ...(variant.without !== undefined && { more: moreOf(added(variant), runs.get(variant.name)!) })
    })),
    notes: ['The plugin with a URL is set against the app with ioredis: the driver is what every app on Redis loads.'],
    targets: plugins.map(variant => atMost(`start-up, ${variant.name}`, MOST_MS, added(variant), 'ms'))
  }
}

function variantsOf (redisUrl: string, onSqlite: App, onRedis: App): Variant[] {
  const app = 'an app with one route'
  const redisApp = 'an app with one route and ioredis'
  return [
    { name: app, settings: {} },
    { name: 'with the plugin, SQLite', settings: { plugin: onSqlite.plugin() }, without: app },
    { name: redisApp, settings: { client: redisUrl } },
    { name: 'with the plugin, client of the app', settings: { client: redisUrl, plugin: onRedis.plugin() }, without: redisApp },
    { name: 'with the plugin, URL of Redis', settings: { plugin: onRedis.plugin() }, without: redisApp }
  ]
}

async function startOnce (programs: Programs, settings: StartSettings): Promise<Run> {
  const start = performance.now()
  const program = await programs.start('start', undefined, settings)
  const wholeMs = performance.now() - start
  await program.stop()
  return { ...program.ready as Started, wholeMs }
}

function moreOf (added: number, runs: Run[]): string {
  const registration = lowerQuartile(runs.map(({ registrationMs }) => registrationMs))
  return `adds ${added.toFixed(0)} ms; registration alone ${registration.toFixed(0)} ms`
}

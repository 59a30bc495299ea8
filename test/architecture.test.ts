import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import t from 'tap'

/** From the ground up: a room imports from rooms before it, and from itself. Rooms in one line do not know each other. */
const FLOORS = [['errors', 'http-dispatcher'], ['validation', 'load-package'], ['wire', 'async'], ['oauth', 'installs'], ['storage', 'events'], ['portal'], ['delivery'], ['routes'], ['options', 'bitrix24', 'process-warnings'], ['app', 'decorators'], ['plugin'], ['index']]
/** Built on the house, and not part of it. */
const OUTSIDE = ['testing']
const WITH_FASTIFY = /^(plugin\.ts|decorators\.ts|routes\/|testing\/)/

interface Import { file: string, target: string, isType: boolean }

const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts'))
const imports = files.flatMap(importsOf)

t.test('every room imports only from rooms nearer the ground', async t => {
  const floorOf = (room: string) => FLOORS.findIndex(rooms => rooms.includes(room))
  for (const { file, target } of imports.filter(({ target }) => target.startsWith('.'))) {
    const [from, to] = [roomOf(file), roomOf(normalize(join(dirname(file), target)))]
    if (from === to) continue
    if (OUTSIDE.includes(from)) t.ok(floorOf(to) < floorOf('routes'), `${file} -> ${target}`)
    else t.ok(floorOf(to) !== -1 && floorOf(to) < floorOf(from), `${file} -> ${target}`)
  }
})

t.test('folders in a room do not lean on each other', async t => {
  const pairs = imports.filter(({ target }) => target.startsWith('.')).flatMap(({ file, target }) => {
    const [from, to] = [dirname(file), dirname(normalize(join(dirname(file), target)))]
    // A room's own files are its contracts, below its folders, and what puts the folders together, above them.
    return dirname(from) === dirname(to) && from !== to && roomOf(file) !== from ? [`${from} -> ${to}`] : []
  })
  t.ok(pairs.length > 0)
  for (const pair of new Set(pairs)) t.notOk(pairs.includes(pair.split(' -> ').reverse().join(' -> ')), pair)
})

t.test('no file imports itself by a detour', async t => {
  const targets = new Map(files.map(file => [file, imports.filter(each => each.file === file && each.target.startsWith('.')).map(({ target }) => normalize(join(dirname(file), target)))]))
  const seen = new Set<string>()
  const walk = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) t.fail(`a circle: ${[...path.slice(path.indexOf(file)), file].join(' -> ')}`)
    if (seen.has(file)) return
    seen.add(file)
    for (const target of targets.get(file) ?? []) walk(target, [...path, file])
  }
  for (const file of files) walk(file, [])
  t.equal(seen.size, files.length)
})

t.test('fastify and ioredis are values only where they must be', async t => {
  for (const { file, target } of imports.filter(({ isType }) => !isType)) {
    if (target === 'fastify') t.match(file, WITH_FASTIFY)
    t.not(target, 'ioredis', `${file}: imported when it is needed`)
    t.not(target, 'libsql', `${file}: imported when it is needed`)
    t.not(target, '@bitrix24/b24jssdk', `${file}: imported when it is needed`)
  }
})

t.test('no file is too large to take in', async t => {
  for (const file of files) t.ok(readFileSync(join('src', file), 'utf8').split('\n').length <= 250, file)
})

function roomOf (path: string): string {
  return path.split('/')[0]!.replace(/\.ts$/, '')
}

function importsOf (file: string): Import[] {
  const text = readFileSync(join('src', file), 'utf8')
  return [...text.matchAll(/^(?:import|export) (type )?(?:[^'\n]*?|\{[^}]*\}) ?from '([^']+)'/gm)]
    .map(([, type, target]) => ({ file, target: target!, isType: type !== undefined }))
}

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import t from 'tap'

/** Lowest first. A part (a folder of `src/`, or a file there) imports from itself and from lower layers; parts of one layer do not know each other. */
const LAYERS = [['errors'], ['validation', 'load-package'], ['wire', 'async'], ['oauth', 'installs'], ['storage', 'events'], ['portal'], ['delivery'], ['routes'], ['options', 'bitrix24', 'process-warnings'], ['app', 'decorators'], ['plugin'], ['index']]
/** Built on the layers below `routes`, and imported by none. */
const OUTSIDE = ['testing']
const WITH_FASTIFY = /^(plugin\.ts|decorators\.ts|routes\/|testing\/)/

/** Words that names here once had, and that the field does not use, or uses for something else. */
const OLD_WORDS = new RegExp('\\b(' + [
  'acting', 'acts', 'announcements?', 'anew', 'aside', 'bell', 'bull \\w+', 'bury', 'check queue', 'claims?', 'coming', 'echo',
  'embedded', 'event hooks', 'event admission', 'event shelf', 'express lane', 'fair queue', 'fair turns', 'finder', 'frame page', 'latch', 'glance', 'held', 'hold',
  'item ledger', 'job notes', 'judge', 'keeping', 'late turns', '(?<!dead )letters?', 'line heads', 'misfits?', 'news', 'nonsense', 'opener', 'outlook',
  'page install', 'plain options', 'portal shares', 'posts?(?! form)', 'process sign', 'proofs?', 'queued post', 'prove[ds]?', 'read records', 'recent installs',
  'remedy', 'revive', 'ring', 'same file', 'seal(ed|er|s)?', 'setback', 'shelf', 'standing', '(un)?stow', 'strangers?', 'tally', 'tell', 'told',
  'trades?', 'turn mark', 'until idle', 'verdict', 'wait by age', 'wish', 'workbench'
].join('|') + ')\\b')

interface Import { file: string, target: string, isType: boolean }

const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts'))
const imports = files.flatMap(importsOf)

t.test('every part imports only from lower layers', async t => {
  const layerOf = (part: string) => LAYERS.findIndex(parts => parts.includes(part))
  for (const { file, target } of imports.filter(({ target }) => target.startsWith('.'))) {
    const [from, to] = [partOf(file), partOf(normalize(join(dirname(file), target)))]
    if (from === to) continue
    if (OUTSIDE.includes(from)) t.ok(layerOf(to) < layerOf('routes'), `${file} -> ${target}`)
    else t.ok(layerOf(to) !== -1 && layerOf(to) < layerOf(from), `${file} -> ${target}`)
  }
})

t.test('no two folders of a part import each other', async t => {
  const pairs = imports.filter(({ target }) => target.startsWith('.')).flatMap(({ file, target }) => {
    const [from, to] = [dirname(file), dirname(normalize(join(dirname(file), target)))]
    // A part's own files are its contracts, below its folders, and what puts the folders together, above them.
    return dirname(from) === dirname(to) && from !== to && partOf(file) !== from ? [`${from} -> ${to}`] : []
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

t.test('files and exports are named in the words of the field', async t => {
  for (const file of files) {
    t.notMatch(wordsOf(file), OLD_WORDS, file)
    for (const name of exportsOf(file)) t.notMatch(wordsOf(name), OLD_WORDS, `${file}: ${name}`)
  }
  for (const name of ['delivery/same-file.ts', 'StoredLetter', 'provesToken', 'EventHooks', 'untilIdle']) t.match(wordsOf(name), OLD_WORDS, `${name} is refused`)
  for (const name of ['delivery/dead-letters.ts', 'toDeadLetter', 'verifyToken', 'postpone', 'FST_B24_NO_DEAD_LETTER']) t.notMatch(wordsOf(name), OLD_WORDS, `${name} is not`)
})

/** `toDeadLetter` and `to-dead-letter.ts`: `to dead letter`. */
function wordsOf (name: string): string {
  return name.replace(/\.ts$/, '').replace(/([a-z0-9])([A-Z])/g, '$1 $2').replace(/[^A-Za-z0-9]+/g, ' ').toLowerCase()
}

function exportsOf (file: string): string[] {
  const text = readFileSync(join('src', file), 'utf8')
  return Array.from(text.matchAll(/^export (?:default )?(?:declare )?(?:async )?(?:abstract )?(?:function\*?|class|const|let|interface|type) \*? ?(\w+)/gm), ([, name]) => name!)
}

function partOf (path: string): string {
  return path.split('/')[0]!.replace(/\.ts$/, '')
}

function importsOf (file: string): Import[] {
  const text = readFileSync(join('src', file), 'utf8')
  return [...text.matchAll(/^(?:import|export) (type )?(?:[^'\n]*?|\{[^}]*\}) ?from '([^']+)'/gm)]
    .map(([, type, target]) => ({ file, target: target!, isType: type !== undefined }))
}

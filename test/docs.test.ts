import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import t from 'tap'
import { mistakesIn } from './helpers/type-check.ts'

const folder = 'test/.docs'
const pages = ['README.md', 'SECURITY.md', ...readdirSync('docs').map(name => join('docs', name))]
const texts = new Map(pages.map(page => [page, readFileSync(page, 'utf8')]))

t.setTimeout(120_000)
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

t.test('what pages name is there', async t => {
  for (const [page, text] of texts) {
    for (const [path] of text.matchAll(/\b(?:src|test|bench|scripts|examples)\/[\w.<>/-]*\w\b\/?/g)) {
      for (const each of path.includes('<driver>') ? ['redis', 'sqlite'].map(driver => path.replace('<driver>', driver)) : [path]) t.ok(existsSync(each), `${page}: ${each}`)
    }
  }
})

t.test('links lead somewhere', async t => {
  for (const [page, text] of texts) {
    for (const [, link] of text.matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [file, anchor] = link!.split('#') as [string, string | undefined]
      const target = file === '' ? page : normalize(join(dirname(page), file))
      t.ok(existsSync(target), `${page}: ${link}`)
      if (anchor !== undefined) t.ok(anchorsOf(readFileSync(target, 'utf8')).includes(anchor), `${page}: ${link}`)
    }
  }
})

t.test('every folder of src stands in the tree', async t => {
  const tree = /## The tree(.*?)^## /ms.exec(texts.get('docs/ARCHITECTURE.md') ?? '')?.[1] ?? ''
  // Below them are their own affairs.
  const folders = readdirSync('src', { recursive: true, withFileTypes: true }).filter(entry => entry.isDirectory()).map(entry => `${join(entry.parentPath, entry.name)}/`)
  t.strictSame(folders.filter(each => !tree.includes(`\`${each}\``) && each.split('/').length < 5 && each !== 'src/events/catalogue/'), [])
})

t.test('the order of imports is that of the test', async t => {
  const layers = /const LAYERS = (\[.*\])$/m.exec(readFileSync('test/architecture.test.ts', 'utf8'))?.[1] ?? ''
  const described = /## Which way imports go.*?^```\n(.*?)^```/ms.exec(texts.get('docs/ARCHITECTURE.md') ?? '')?.[1] ?? ''
  t.strictSame(described.trim().split('\n').reverse().map(line => line.split('  ')), JSON.parse(layers.replaceAll("'", '"')))
})

t.test('every snippet of the docs compiles', async t => {
  mkdirSync(folder, { recursive: true })
  const snippets = [...texts].filter(([page]) => page.startsWith('docs/')).flatMap(([, text]) => [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code!))
  t.ok(snippets.length > 0)
  const files = snippets.map((code, i) => {
    const file = join(folder, `snippet-${i}.ts`)
    writeFileSync(file, code)
    return file
  })
  // Names of namespaces change what `app.bitrix24` is, so that each is a project of its own.
  for (const file of files) t.strictSame(mistakesIn([file], { noUnusedLocals: false, declaration: false }), [])
})

/** As GitHub makes them of headings. */
function anchorsOf (text: string): string[] {
  return Array.from(text.matchAll(/^#+ (.+)$/gm), ([, heading]) => heading!.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-'))
}

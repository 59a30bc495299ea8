'use strict'
// tap compiles each file anew in each of its processes, and loads typebox from 700 files there, which takes longer than most of the
// tests. Here each file is compiled once, and typebox is bundled, as it is in what is published.
const { createHash } = require('node:crypto')
const { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { pathToFileURL } = require('node:url')
const ts = require('typescript')
// It does not export this file.
const { version } = require('../../node_modules/typebox/package.json')

const FOLDER = join(__dirname, '../../node_modules/.cache/tap')
const TYPEBOX = join(FOLDER, `typebox-${version}`)
const ENTRIES = { typebox: 'index', 'typebox/schema': 'schema' }

exports.create = ({ service: { config: { options } } }) => {
  const compilerOptions = { ...options, module: ts.ModuleKind.ESNext }
  const settings = `${ts.version} ${TYPEBOX} ${JSON.stringify(compilerOptions)}`
  if (!existsSync(TYPEBOX)) bundleTypebox()
  return {
    transpile (text, { fileName }) {
      const key = createHash('sha256').update(`${settings}\0${fileName}\0${text}`).digest('base64url')
      const path = join(FOLDER, `${key}.json`)
      try {
        return JSON.parse(readFileSync(path, 'utf8'))
      } catch {
        const { outputText, sourceMapText } = ts.transpileModule(text, { fileName, compilerOptions })
        const compiled = { outputText: outputText.replaceAll(/ from '(typebox(?:\/schema)?)'/g, (_, name) => ` from '${urlOf(name)}'`), sourceMapText }
        const part = `${path}.${process.pid}`
        writeFileSync(part, JSON.stringify(compiled))
        renameSync(part, path)
        return compiled
      }
    }
  }
}

function urlOf (name) {
  return pathToFileURL(join(TYPEBOX, `${ENTRIES[name]}.mjs`)).href
}

function bundleTypebox () {
  const esbuild = require('esbuild')
  mkdirSync(FOLDER, { recursive: true })
  const part = `${TYPEBOX}.${process.pid}`
  const entryPoints = Object.entries(ENTRIES).map(([name, out]) => ({ in: name, out }))
  esbuild.buildSync({ entryPoints, outdir: part, outExtension: { '.js': '.mjs' }, bundle: true, splitting: true, format: 'esm', platform: 'node', target: 'node20' })
  try {
    renameSync(part, TYPEBOX)
  } catch {
    // Another process was quicker.
    rmSync(part, { recursive: true })
  }
}

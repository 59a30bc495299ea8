import { readFileSync } from 'node:fs'
import t from 'tap'
import type { EventDefinition } from '../../src/events/catalogue/definition.ts'
import { catalogue } from '../../src/events/catalogue/index.ts'
import { decodeData } from '../../src/events/decode.ts'
import { baseCode, definitionOf } from '../../src/events/definitions.ts'
import { EntityType } from '../../src/events/event-map.ts'

type Fact = [code: string, name: string, scope: string, doc: string, shape: number, deprecated?: 'deprecated']
type Fields = Map<string, string>

interface Schema {
  type?: string
  anyOf?: Schema[]
  items?: Schema
  properties?: Record<string, Schema>
  patternProperties?: Record<string, Schema>
  required?: string[]
  wireUndefined?: true
}

const read = (file: string) => JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8'))
const facts: { shapes: Array<Record<string, string>>, events: Fact[] } = read('catalogue-facts.json')
const samples: Array<[code: string, data: unknown]> = read('samples.json')
const definitions: EventDefinition[] = Object.values(catalogue)

/** Differences between a table and its page, with the reason. */
const DIFFERENT: Array<[event: RegExp, path: RegExp, why: string]> = [
  [/^ONAPPPAYMENT$/, /^(DAYS|LANGUAGE_ID)$/, 'the page of September 2026: DAYS only with a period, no LANGUAGE_ID'],
  [/^ONCRMINVOICEUSERFIELD/, /^(id|entityId|fieldName|FIELDS.*)$/, 'the old page has other keys than every other custom field: both are taken'],
  [/^ONCRMTIMELINEITEMACTION$/, /^{}$/, 'keys beside the documented ones need no field: every table is open'],
  [/FIELDVALUEREQUESTED$/, /^company$/, 'the article does not name the key'],
  [/^ONIM(BOT|COMMAND)/, /^((BOT|COMMAND)\.{}\.|bot\.auth\.)(\w+_token|expires|expires_in|user_id|client_id)$/, 'a bot that no user stands behind has no tokens'],
  [/^ONIM(BOT|COMMAND)/, /\.AUTH\.(expires|user_id)$/, 'beside AUTH the same fields are integers'],
  [/^ONOPENLINEMESSAGE/, /^(CONNECTOR|LINE|DATA\..*)$/, 'messages of customers and of operators differ: the index of the section'],
  [/^ONSESSION/, /^DATA\..*$/, 'the event page and the index of the section differ'],
  [/^ONTASKCOMMENTADD$/, /\.ID$/, 'with the new task card it is 0, not absent'],
  [/^ONUSERADD$/, /^UF_DEPARTMENT$/, 'the text names what is in the list'],
  [/^ONSONETGROUPSUBJECT/, /^ID$/, 'the page has no type; the ids of all other groups are integers']
]

const KINDS: Record<string, string> = {
  timestamp: 'integer',
  datetime: 'string',
  double: 'number',
  'undefined|object': 'object',
  'string|boolean': 'false|string',
  'object|boolean': 'false|map',
  'integer[]': 'list of integer',
  'string[]': 'list of string',
  any: 'anything',
  unspecified: 'anything'
}

function factKind (type: string, fields: Record<string, string> | undefined): string {
  if (type === 'array' || type === 'object[]') return fields === undefined ? 'list of anything' : 'list of object'
  if (type === 'object' && (fields === undefined || Object.keys(fields).every(key => key === '{}' || key === 'any'))) return 'map'
  return KINDS[type] ?? type
}

/** Fields of a documented shape: `path -> kind`, with `?` if optional by our rule. */
function factFields (shape: Record<string, string>, prefix = '', into: Fields = new Map()): Fields {
  const marked = Object.values(shape).some(fact => fact.includes('!'))
  for (const [key, fact] of Object.entries(shape)) {
    const [, type = '', flags = '', below] = /^([a-z|[\]]+)([!?~u]*)(?:@(\d+))?$/.exec(fact) ?? []
    const fields = below === undefined ? undefined : facts.shapes[Number(below)]
    const kind = factKind(type, fields)
    const beside = (kind === 'map' && (fields === undefined || 'any' in fields)) || (kind.startsWith('list of') && kind !== 'list of object')
    const optional = /[?~u]/.test(flags) || type === 'undefined|object' || (marked && !flags.includes('!')) || beside
    into.set(prefix + key, kind + (optional && key !== '{}' ? '?' : ''))
    if (fields !== undefined && !('any' in fields)) factFields(fields, `${prefix}${key}.`, into)
  }
  return into
}

function schemaKind (schema: Schema): string {
  if (schema.anyOf !== undefined) return schema.anyOf.map(member => 'const' in member ? 'false' : schemaKind(member)).join('|')
  if (schema.type === 'array') return `list of ${schemaKind(schema.items ?? {})}`
  if (schema.type === 'object') return schema.properties === undefined ? 'map' : 'object'
  return schema.type ?? 'anything'
}

function schemaFields (schema: Schema, prefix = '', into: Fields = new Map()): Fields {
  for (const [key, field] of Object.entries(schema.properties ?? {})) {
    into.set(prefix + key, schemaKind(field) + (schema.required?.includes(key) === true ? '' : '?'))
    schemaFields(field.type === 'array' ? field.items ?? {} : field, `${prefix}${key}.`, into)
  }
  for (const item of Object.values(schema.patternProperties ?? {})) {
    if (schemaKind(item) === 'anything') continue
    into.set(`${prefix}{}`, schemaKind(item))
    schemaFields(item, `${prefix}{}.`, into)
  }
  return into
}

/** Scopes on event pages that no portal has, with those of the permissions page and the modules' sources. */
const SCOPES: Record<string, string> = { sonet: 'sonet_group', imconnector: 'imopenlines' }

t.test('all documented events are there, each with its scope and page', async t => {
  const ours = definitions.filter(({ documented }) => documented !== false).map(({ code, scope, doc, deprecated = false }) => ({ code, scope, doc, deprecated }))
  const documented = facts.events.map(([code, , scope, doc,, mark]) => ({ code, scope: SCOPES[scope] ?? scope, doc, deprecated: mark !== undefined }))
  const byCode = (a: { code: string }, b: { code: string }) => a.code < b.code ? -1 : 1
  t.equal(ours.length, 211)
  t.strictSame(ours.sort(byCode), documented.sort(byCode))
})

t.test('events that only the sources have are marked, and have no page', async t => {
  const others = definitions.filter(({ documented }) => documented === false)
  t.strictSame(others.map(({ code, scope, doc }) => [code, scope, doc]), [
    ['ONSUBSCRIPTIONRENEW', 'basic', undefined],
    ['ONCALENDARROOMCREATE', 'calendar', undefined],
    ['ONCALENDARROOMUPDATE', 'calendar', undefined],
    ['ONCALENDARROOMDELETE', 'calendar', undefined],
    ['MAIN.ON.USER.TYPE.ADD', 'userfieldconfig', undefined],
    ['MAIN.ON.USER.TYPE.UPDATE', 'userfieldconfig', undefined],
    ['MAIN.ON.USER.TYPE.DELETE', 'userfieldconfig', undefined]
  ])
  t.strictSame(decodeData(definitionOf('onCalendarRoomCreate'), { id: '7' }), { data: { id: 7 }, mismatches: 0 })
  t.strictSame(decodeData(definitionOf('MAIN.ON.USER.TYPE.ADD'), { FIELDS: { ID: '7' } }), { data: { FIELDS: { ID: 7 } }, mismatches: 0 })
  t.strictSame(decodeData(definitionOf('onSubscriptionRenew'), { ANY: '7' }), { data: { ANY: '7' }, mismatches: 0 })
})

t.test('only the events of a user\'s own chats cannot be bound: they are fetched', async t => {
  t.strictSame(definitions.filter(({ delivery }) => delivery === 'fetch').map(({ name }) => name), [
    'onImV2MessageAdd', 'onImV2MessageUpdate', 'onImV2MessageDelete', 'onImV2ReactionChange', 'onImV2JoinChat'
  ])
})

t.test('an event has its own scope and others that permit it too', async t => {
  t.strictSame(definitionOf('onUserAdd')?.scopes, ['user', 'user_basic', 'user_brief'])
  t.strictSame(definitionOf('onTaskAdd')?.scopes, ['task'])
  t.ok(definitions.every(({ scope, scopes }) => scope === scopes[0]))
})

t.test('names are the documented ones with a lower-case first letter', async t => {
  const wrong = facts.events.filter(([code, documented]) => {
    const name = definitions.find(definition => definition.code === code)?.name ?? ''
    if (documented.includes('.')) return name !== documented
    // If the page has only upper case, the word boundaries are ours.
    if (documented === code) return name.toUpperCase() !== code || !/^on[A-Z][A-Za-z0-9]*[a-z]$/.test(name)
    return name !== documented.charAt(0).toLowerCase() + documented.slice(1)
  })
  t.strictSame(wrong, [])
})

t.test('only the codes of dynamic items have a suffix', async t => {
  const suffixed = definitions.filter(definition => definition.suffixed === true).map(({ name }) => name)
  t.strictSame(suffixed, ['onCrmDynamicItemAdd', 'onCrmDynamicItemUpdate', 'onCrmDynamicItemDelete'])
})

t.test('fields have the documented types, but where the test says why not', async t => {
  const used = new Set<string>()
  const wrong: string[] = []
  for (const [code, ,,, shape] of facts.events) {
    const documented = facts.shapes[shape] ?? {}
    const expected = '' in documented ? new Map<string, string>() : factFields(documented)
    const ours = schemaFields(definitionOf(code)?.data ?? {})
    for (const path of new Set([...ours.keys(), ...expected.keys()])) {
      if (ours.get(path) === expected.get(path)) continue
      const reason = DIFFERENT.find(([event, field]) => event.test(code) && field.test(path))
      if (reason === undefined) wrong.push(`${code} ${path}: ${ours.get(path)}, documented ${expected.get(path)}`)
      else used.add(reason[2])
    }
  }
  t.strictSame(wrong, [])
  t.strictSame([...used].sort(), DIFFERENT.map(([,, why]) => why).sort(), 'each reason is needed')
})

/** Converts JSON to the result of a form: scalars are strings, null and empty lists are absent, maps have no prototype. */
function wire (value: unknown): unknown {
  if (typeof value === 'boolean') return value ? '1' : '0'
  if (typeof value !== 'object') return String(value)
  if (value === null) return undefined
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.map(wire)
  const map: Record<string, unknown> = Object.create(null)
  for (const [key, item] of Object.entries(value)) {
    const sent = wire(item)
    if (sent !== undefined) map[key] = sent
  }
  return map
}

t.test('documented samples decode without a mismatch, as a form and as JSON', async t => {
  const mismatches = samples.flatMap(([code, data]) => {
    const definition = definitionOf(code)
    return [decodeData(definition, wire(data)).mismatches, decodeData(definition, data).mismatches].map(count => `${code} ${count}`)
  }).filter(line => !line.endsWith(' 0'))
  t.strictSame(mismatches, [])
})

t.test('a form and JSON decode to the same, but for lists that are empty', async t => {
  for (const [code, data] of samples) {
    const definition = definitionOf(code)
    if (!JSON.stringify(data).includes('[]')) t.strictSame(decodeData(definition, wire(data)).data, decodeData(definition, data).data, code)
  }
})

t.test('an event is found by its name and its code in any case, and by a code with a suffix', async t => {
  const found = (event: string) => definitionOf(event)?.name
  t.equal(found('onTaskAdd'), 'onTaskAdd')
  t.equal(found('OnTaskAdd'), 'onTaskAdd')
  t.equal(found('ONTASKADD'), 'onTaskAdd')
  t.equal(found('catalog.price.on.add'), 'CATALOG.PRICE.ON.ADD')
  t.equal(found('ONCRMDYNAMICITEMADD_147'), 'onCrmDynamicItemAdd')
  for (const unknown of ['ONTASKADD_147', 'ONCRMDYNAMICITEMADD_', 'ONCRMDYNAMICITEMADD_x', 'ONNOTHING', 'ONNOTHING_1', '', '__PROTO__']) {
    t.equal(found(unknown), undefined, unknown)
    t.equal(baseCode(unknown), unknown)
  }
})

t.test('types of the CRM have the documented numbers', async t => {
  t.strictSame(EntityType, { Lead: 1, Deal: 2, Contact: 3, Company: 4, Invoice: 5, Quote: 7, Requisite: 8, Order: 14, SmartInvoice: 31 })
})

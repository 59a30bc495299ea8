import t from 'tap'
import { FST_B24_INVALID_HANDLER } from '../../src/errors.ts'
import { HandlerRegistry } from '../../src/events/handlers.ts'

function setup () {
  const hooks = new HandlerRegistry<object>({ warn: () => {} })
  return { hooks, ids: (code = 'ONTASKADD') => hooks.match(code).map(({ id }) => id) }
}

/** Ids of the handlers of an event, in order of registration. */
const idsOf = (register: (hooks: HandlerRegistry<object>) => void, code = 'ONTASKADD') => {
  const { hooks, ids } = setup()
  register(hooks)
  return ids(code)
}

t.test('the same program has the same ids in every process', async t => {
  const program = (hooks: HandlerRegistry<object>) => {
    hooks.on(['onTaskAdd', 'onTaskUpdate'], function one () {})
    hooks.on('onTaskAdd', () => 1)
    hooks.on('onTaskAdd', () => 2)
    hooks.on('onTaskAdd', { FIELDS_AFTER: { ID: 1 } }, () => 2)
    for (const word of ['a', 'b', 'c']) hooks.on('onTaskAdd', () => word)
    hooks.onAny(() => 2)
  }
  const ids = idsOf(program)
  t.strictSame(idsOf(program), ids)
  t.equal(ids.length, 8)
  t.equal(new Set(ids).size, 8, 'and no two of one event are the same')
  t.notSame(idsOf(program, 'ONTASKUPDATE')[0], ids[0], 'each event has its own')
  for (const id of ids) t.match(id, /^~[\w-]{16}(\.[2-3])?$/)
})

t.test('a handler with another name or source text has another id', async t => {
  const id = (register: (hooks: HandlerRegistry<object>) => void) => idsOf(register)[0]
  const ids = [
    id(hooks => hooks.on('onTaskAdd', () => 1)),
    id(hooks => hooks.on('onTaskAdd', () => 2)),
    id(hooks => hooks.on('onTaskAdd', { FIELDS_AFTER: { ID: 1 } }, () => 1)),
    id(hooks => hooks.on('onTaskAdd', { FIELDS_AFTER: { ID: 2 } }, () => 1)),
    id(hooks => hooks.on('onTaskAdd', Object.defineProperty(() => 1, 'name', { value: 'other' }))),
    id(hooks => hooks.onAny(() => 1))
  ]
  t.equal(new Set(ids).size, ids.length)
  t.equal(id(hooks => hooks.on('ontaskadd', () => 1)), ids[0])
})

t.test('an id is stable while other handlers are added and removed', async t => {
  const { hooks, ids } = setup()
  const handler = () => 1
  hooks.on('onTaskAdd', handler)
  const [id] = ids()
  hooks.on('onTaskAdd', () => 'other')
  hooks.on('onTaskAdd', { FIELDS_AFTER: { ID: 1 } }, handler)
  hooks.onAny(handler)
  t.equal(ids()[0], id)
  t.equal(ids().length, 2)
  t.equal(idsOf(hooks => {
    hooks.on('onTaskUpdate', handler)
    hooks.on('onTaskAdd', () => 2)
    hooks.on('onTaskAdd', handler)
  })[1], id)
})

t.test('an identical handler does not reuse the id of a removed one', async t => {
  const { hooks, ids } = setup()
  const [one, two, three] = [1, 2, 3].map(word => () => word) as [() => number, () => number, () => number]
  hooks.on('onTaskAdd', one)
  hooks.on('onTaskAdd', two)
  const [first, second] = ids()
  hooks.off('onTaskAdd', one)
  hooks.on('onTaskAdd', three)
  const [, third] = ids()
  t.equal(ids()[0], second)
  t.equal(new Set([first, second, third]).size, 3)
  hooks.on('onTaskAdd', one)
  t.strictSame(ids(), [second, third, first], 'and one that comes back has its own')
})

t.test('a given id is independent of the function', async t => {
  t.strictSame(idsOf(hooks => hooks.on('onTaskAdd', () => 1, { id: 'sync.task:1_-' })), ['sync.task:1_-'])
  const handler = () => 1
  t.strictSame(idsOf(hooks => {
    hooks.onAny(handler)
    hooks.on('onTaskAdd', handler, { id: 'given' })
    hooks.on('onTaskAdd', { FIELDS_AFTER: { ID: 1 } }, handler, { id: 'later' })
  }), ['given'], 'the first that was given is the one')
})

t.test('two handlers of one event do not share an id', async t => {
  const { hooks, ids } = setup()
  const [first, second] = [() => 1, () => 2]
  hooks.on(['onTaskAdd', 'ONCRMDYNAMICITEMADD_147', 'onCrmDynamicItemUpdate'], first, { id: 'sync' })
  const refused: Array<string | string[]> = [
    'ONTASKADD', 'ONCRMDYNAMICITEMADD_147', 'onCrmDynamicItemAdd', 'ONCRMDYNAMICITEMUPDATE_31', ['onTaskDelete', 'onTaskAdd']
  ]
  for (const names of refused) t.throws(() => hooks.on(names, second, { id: 'sync' }), FST_B24_INVALID_HANDLER, String(names))
  t.throws(() => hooks.onAny(second, { id: 'sync' }), FST_B24_INVALID_HANDLER)
  t.strictSame([ids('ONTASKADD'), ids('ONTASKDELETE')], [['sync'], []], 'what is refused is not registered')
  hooks.on('onTaskAdd', { FIELDS_AFTER: { ID: 1 } }, first, { id: 'sync' })
  hooks.on(['onTaskUpdate', 'ONCRMDYNAMICITEMADD_31'], second, { id: 'sync' })
  hooks.off(['onTaskAdd', 'ONCRMDYNAMICITEMADD_147', 'onCrmDynamicItemUpdate'], first)
  hooks.on('onTaskAdd', second, { id: 'sync' })
  t.strictSame(ids(), ['sync'], 'an id is free when its handler is off')
})

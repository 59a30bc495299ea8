import t from 'tap'
import { readOptions, type FastifyBitrix24Options } from '../../src/options.ts'
import { NUMBERS } from '../../src/delivery/delivery-options.ts'
import { secret } from '../helpers/secrets.ts'

function read (delivery: unknown) {
  return readOptions({ clientId: 'local.options', clientSecret: secret(), delivery } as FastifyBitrix24Options).delivery
}

/** `{ deadLetters: { maxCount: value } }` of `deadLetters.maxCount`. */
function put (name: string, value: unknown): object {
  return name.split('.').reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as object
}

for (const [name, unit, least, most, of] of NUMBERS) {
  t.test(`delivery.${name} is a number of ${unit}, and has its bounds`, async t => {
    for (const value of [least, least + 1, most]) t.equal(of(read(put(name, value))), value)
    t.equal(of(read(put(name, undefined))), of(read({})), 'the default')
    for (const value of [least - 1, most + 1, 1.5, '5', NaN, Infinity, null, true, 5n, [5]]) {
      const message = new RegExp(`delivery\\.${name.replace('.', '\\.')} must be .*${least} to ${most}`)
      t.throws(() => read(put(name, value)), { code: 'FST_B24_INVALID_OPTIONS', message }, String(value))
    }
  })
}

t.test('unknown delivery options are rejected', async t => {
  const cases: Array<[delivery: unknown, message: RegExp]> = [
    [{ handlerTimeout: 5 }, /delivery has no option 'handlerTimeout'/],
    [{ toString: 5 }, /'toString'/],
    [{ worker: true, Attempts: 3 }, /'Attempts'/],
    [{ maxCount: 5 }, /'maxCount'/],
    [{ deadLetters: { maxAge: 5 } }, /delivery\.deadLetters has no option 'maxAge'/],
    [{ deadLetters: { maxAgeMs: 5_000, count: 5 } }, /'count'/],
    [{ deadLetters: 5 }, /deadLetters/],
    [{ deadLetters: null }, /deadLetters/],
    [null, /delivery/],
    [[], /delivery/],
    [{ mode: 'both' }, /delivery\.mode/],
    [{ worker: 'no' }, /delivery\.worker/],
    [{ worker: null }, /delivery\.worker/],
    [{ coalesce: 1 }, /delivery\.coalesce/],
    [{ mode: 'inline', worker: false }, /inline.*worker/]
  ]
  for (const [delivery, message] of cases) t.throws(() => read(delivery), { code: 'FST_B24_INVALID_OPTIONS', message }, String(message))
  t.match(read({ mode: 'inline', worker: true }), { mode: 'inline' })
  t.match(read({ mode: undefined, deadLetters: undefined }), read({}))
})

// Checked by `namespaces.test.ts`, never run, and no part of the project's own check: it changes what `app.bitrix24` is.
import type { FastifyInstance } from 'fastify'
import type { Bitrix24, HandlerContext } from '../../src/index.ts'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
function expect<T extends true> (): T | undefined { return undefined }

declare module 'fastify-bitrix24' {
  interface Bitrix24Namespaces {
    sales: Bitrix24
    support: Bitrix24
  }
}

declare const app: FastifyInstance

expect<Equal<typeof app.bitrix24.sales, Bitrix24>>()
app.bitrix24.support.on('onTaskAdd', (event, context) => { expect<Equal<[typeof event.name, typeof context], ['onTaskAdd', HandlerContext]>>() })
// @ts-expect-error there is no such namespace
app.bitrix24.marketing.on('onTaskAdd', () => {})
// @ts-expect-error with namespaces, `app.bitrix24` itself is no app
app.bitrix24.on('onTaskAdd', () => {})

import { eventTable } from './definition.ts'
import { fields, fieldsId, int, oneOf } from './shapes.ts'

const events = eventTable('catalog', 'api-reference/catalog/')

/** 1 simple, 3 with variations, 4 a variation, 5 a variation without its parent, 6 broken, 7 a service. */
const product = fields({ ID: int, TYPE: oneOf(1, 3, 4, 5, 6, 7) })

/** Codes with dots, and names that are the codes. Only apps can subscribe, no outgoing webhook. */
export const catalog = {
  ...events('product/events/', [
    'CATALOG.PRODUCT.ON.ADD', 'CATALOG.PRODUCT.ON.UPDATE', 'CATALOG.PRODUCT.ON.DELETE'
  ], product, { item: 'product' }),
  ...events('price/events/', [
    'CATALOG.PRICE.ON.ADD', 'CATALOG.PRICE.ON.UPDATE', 'CATALOG.PRICE.ON.DELETE'
  ], fieldsId, { item: 'price' }),
  ...events('price-type/events/', [
    'CATALOG.PRICE.TYPE.ON.ADD', 'CATALOG.PRICE.TYPE.ON.UPDATE', 'CATALOG.PRICE.TYPE.ON.DELETE'
  ], fieldsId, { item: 'price-type' }),
  ...events('measure/events/', [
    'CATALOG.MEASURE.ON.ADD', 'CATALOG.MEASURE.ON.UPDATE', 'CATALOG.MEASURE.ON.DELETE'
  ], fieldsId, { item: 'measure' }),
  ...events('rounding-rule/events/', [
    'CATALOG.ROUNDING.ON.ADD', 'CATALOG.ROUNDING.ON.UPDATE', 'CATALOG.ROUNDING.ON.DELETE'
  ], fieldsId, { item: 'rounding-rule' })
}

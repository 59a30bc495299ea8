import { eventTable } from './definition.ts'
import { fields, fieldsId, int, object, optional, text } from './shapes.ts'

const events = eventTable('crm', 'api-reference/crm/outdated/', { deprecated: true })

const recurring = fields({ ID: int, RECURRING_INVOICE_ID: int })
/** Each time another invoice was made. */
const exposed = fields({ ID: int, RECURRING_INVOICE_ID: int, INVOICE_ID: int })
/** The page has `id`, `entityId`, `fieldName`; all other custom fields have FIELDS. */
const invoiceField = object({
  id: optional(int),
  entityId: optional(text),
  fieldName: optional(text),
  FIELDS: optional(object({ ID: int, ENTITY_ID: text, FIELD_NAME: text }))
})

/** Old invoices, and products and measures of the CRM: the pages name the fields, and no types. */
export const crmOutdated = {
  ...events('invoice/events-invoice/', [
    'onCrmInvoiceAdd', 'onCrmInvoiceUpdate', 'onCrmInvoiceDelete', 'onCrmInvoiceSetStatus'
  ], fieldsId, { item: 'invoice' }),
  ...events('invoice/events-invoice/', ['onCrmInvoiceRecurringAdd', 'onCrmInvoiceRecurringUpdate'], recurring, { item: 'recurring-invoice' }),
  ...events('invoice/events-invoice/', ['onCrmInvoiceRecurringDelete'], fieldsId, { item: 'recurring-invoice' }),
  ...events('invoice/events-invoice/', ['onCrmInvoiceRecurringExpose'], exposed, { item: 'recurring-invoice', content: true }),
  ...events('invoice/events-invoice/', [
    'onCrmInvoiceUserFieldAdd', 'onCrmInvoiceUserFieldUpdate', 'onCrmInvoiceUserFieldDelete', 'onCrmInvoiceUserFieldSetEnumValues'
  ], invoiceField, { item: ['userfield', 'FIELDS.ID|id'] }),
  ...events('products/events-custom/', ['onCrmProductAdd', 'onCrmProductUpdate', 'onCrmProductDelete'], fieldsId, { item: 'product' }),
  ...events('products/events-custom/', [
    'onCrmProductPropertyAdd', 'onCrmProductPropertyUpdate', 'onCrmProductPropertyDelete'
  ], fieldsId, { item: 'product-property' }),
  ...events('product-section/events/', [
    'onCrmProductSectionAdd', 'onCrmProductSectionUpdate', 'onCrmProductSectionDelete'
  ], fieldsId, { item: 'product-section' }),
  ...events('measure/events/', ['onCrmMeasureAdd', 'onCrmMeasureUpdate', 'onCrmMeasureDelete'], fieldsId, { item: 'measure' })
}

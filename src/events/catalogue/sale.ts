import { eventPage } from './definition.ts'
import { fields, fieldsId, int, oneOf, text } from './shapes.ts'

const events = eventPage('sale', 'api-reference/sale/events/')

export const sale = {
  ...events(['onSaleOrderSaved'], fields({ ID: int, XML_ID: text, ACTION: oneOf('save') })),
  // Made before the order goes, and may well arrive after.
  ...events(['onSaleBeforeOrderDelete'], fields({ ID: int, XML_ID: text, ACTION: oneOf('delete') })),
  ...events(['onOrderEntitySaved', 'onOrderDeleted'], fieldsId),
  ...events(['onPaymentEntitySaved', 'onPaymentDeleted'], fieldsId),
  ...events(['onPropertyValueEntitySaved', 'onPropertyValueDeleted'], fieldsId),
  ...events(['onShipmentEntitySaved', 'onShipmentDeleted'], fieldsId)
}

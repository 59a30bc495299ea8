import { eventPage } from './definition.ts'
import { fields, fieldsId, int, oneOf, text } from './shapes.ts'

const events = eventPage('sale', 'api-reference/sale/events/')

export const sale = {
  ...events(['onSaleOrderSaved'], fields({ ID: int, XML_ID: text, ACTION: oneOf('save') }), { item: 'order' }),
  // Made before the order goes, and may well arrive after.
  ...events(['onSaleBeforeOrderDelete'], fields({ ID: int, XML_ID: text, ACTION: oneOf('delete') }), { item: 'order' }),
  ...events(['onOrderEntitySaved', 'onOrderDeleted'], fieldsId, { item: 'order' }),
  ...events(['onPaymentEntitySaved', 'onPaymentDeleted'], fieldsId, { item: 'payment' }),
  ...events(['onPropertyValueEntitySaved', 'onPropertyValueDeleted'], fieldsId, { item: 'property-value' }),
  ...events(['onShipmentEntitySaved', 'onShipmentDeleted'], fieldsId, { item: 'shipment' })
}

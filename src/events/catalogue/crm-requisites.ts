import { eventPage } from './definition.ts'
import { fields, fieldsId, int } from './shapes.ts'

const events = eventPage('crm', 'api-reference/crm/requisites/events/')

/** An address has no id of its own: these five together are one. */
const address = fields({ TYPE_ID: int, ENTITY_TYPE_ID: int, ENTITY_ID: int, ANCHOR_ID: int, ANCHOR_TYPE_ID: int })

export const crmRequisites = {
  ...events(['onCrmRequisiteAdd', 'onCrmRequisiteUpdate', 'onCrmRequisiteDelete'], fieldsId, { item: 'requisite' }),
  ...events(['onCrmBankDetailAdd', 'onCrmBankDetailUpdate', 'onCrmBankDetailDelete'], fieldsId, { item: 'bank-detail' }),
  ...events(['onCrmAddressRegister', 'onCrmAddressUnregister'], address, {
    item: ['address', 'FIELDS.TYPE_ID', 'FIELDS.ENTITY_TYPE_ID', 'FIELDS.ENTITY_ID', 'FIELDS.ANCHOR_TYPE_ID', 'FIELDS.ANCHOR_ID']
  })
}

import { eventTable } from './definition.ts'
import { fields, int, oneOf, text } from './shapes.ts'

// One numbering for all of them.
const events = eventTable('crm', 'api-reference/crm/', { item: 'userfield' })

/** `const`, so that the page's own entity stands in the type. */
const field = <const Entity extends string>(entity: Entity) => fields({ ID: int, ENTITY_ID: oneOf(entity), FIELD_NAME: text })
/** `CRM_{id}`, where id is the type's own key, not its entityTypeId; `CRM_SMART_INVOICE`; `CRM_SMART_DOCUMENT`. */
const typeField = fields({ ID: int, ENTITY_ID: text, FIELD_NAME: text })

/** The settings of custom fields, not the values in an item. A change of a list's values sends SetEnumValues and Add or Update. */
export const crmFields = {
  ...events('leads/userfield/events/', [
    'onCrmLeadUserFieldAdd', 'onCrmLeadUserFieldUpdate', 'onCrmLeadUserFieldDelete', 'onCrmLeadUserFieldSetEnumValues'
  ], field('CRM_LEAD')),
  ...events('deals/user-defined-fields/events/', [
    'onCrmDealUserFieldAdd', 'onCrmDealUserFieldUpdate', 'onCrmDealUserFieldDelete', 'onCrmDealUserFieldSetEnumValues'
  ], field('CRM_DEAL')),
  ...events('contacts/userfield/events/', [
    'onCrmContactUserFieldAdd', 'onCrmContactUserFieldUpdate', 'onCrmContactUserFieldDelete', 'onCrmContactUserFieldSetEnumValues'
  ], field('CRM_CONTACT')),
  ...events('companies/userfields/events/', [
    'onCrmCompanyUserFieldAdd', 'onCrmCompanyUserFieldUpdate', 'onCrmCompanyUserFieldDelete', 'onCrmCompanyUserFieldSetEnumValues'
  ], field('CRM_COMPANY')),
  ...events('quote/user-field/events/', [
    'onCrmQuoteUserFieldAdd', 'onCrmQuoteUserFieldUpdate', 'onCrmQuoteUserFieldDelete', 'onCrmQuoteUserFieldSetEnumValues'
  ], field('CRM_QUOTE')),
  ...events('requisites/events/', [
    'onCrmRequisiteUserFieldAdd', 'onCrmRequisiteUserFieldUpdate', 'onCrmRequisiteUserFieldDelete', 'onCrmRequisiteUserFieldSetEnumValues'
  ], field('CRM_REQUISITE')),
  ...events('universal/userfieldconfig/events/', [
    'onCrmTypeUserFieldAdd', 'onCrmTypeUserFieldUpdate', 'onCrmTypeUserFieldDelete', 'onCrmTypeUserFieldSetEnumValues'
  ], typeField)
}

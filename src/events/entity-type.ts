/**
 * Numbers of the CRM types that have one, as in `ENTITY_TYPE_ID`. Smart processes have numbers of their own: 128 to 191,
 * and the even ones from 1030; in the recycle bin 192 to 255, and the odd ones.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/crm/data-types.md
 */
export const EntityType = {
  Lead: 1,
  Deal: 2,
  Contact: 3,
  Company: 4,
  /** Old invoices; new ones are `SmartInvoice`. */
  Invoice: 5,
  /** Estimates. */
  Quote: 7,
  Requisite: 8,
  Order: 14,
  /** New invoices: dynamic items of this type. */
  SmartInvoice: 31
} as const

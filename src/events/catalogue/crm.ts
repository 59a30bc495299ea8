import { eventTable } from './definition.ts'
import { fields, fieldsId, int, object, openObject, text } from './shapes.ts'

const events = eventTable('crm', 'api-reference/crm/')

const item = fields({ ID: int, ENTITY_TYPE_ID: int })
const document = fields({ ID: int, ENTITY_TYPE_ID: int, ENTITY_ID: int })
/** An identifier with letters: `CHE`. */
const currency = fields({ ID: text })
/** The new place of the deal: each move counts. */
const moved = fields({ ID: int, CATEGORY_ID: int, STAGE_ID: text })
/** ID is of the template's settings, which no deal has. */
const recurring = fields({ ID: int, RECURRING_DEAL_ID: int })
/** Each time another deal was made. */
const exposed = fields({ ID: int, RECURRING_DEAL_ID: int, DEAL_ID: int })
const comment = object({ ID: int })
/** Beside these, every key of the action's own `actionParams`. */
const action = openObject({ id: text, entityTypeId: int, entityId: int, activityId: int, userId: int })

const dynamic = { suffixed: true, item: ['dynamic', 'FIELDS.ENTITY_TYPE_ID', 'FIELDS.ID'] } as const
const commented = { item: ['timeline-comment', 'ID'] } as const

/** Smart processes and new invoices (type 31) come as dynamic items; the other types have events of their own, and only those. */
export const crm = {
  ...events('universal/events/', ['onCrmDynamicItemAdd', 'onCrmDynamicItemUpdate', 'onCrmDynamicItemDelete'], item, dynamic),
  ...events('universal/events/type/', ['onCrmTypeAdd', 'onCrmTypeUpdate', 'onCrmTypeDelete'], fieldsId, { item: 'type' }),

  ...events('leads/events/', ['onCrmLeadAdd', 'onCrmLeadUpdate', 'onCrmLeadDelete'], fieldsId, { item: 'lead' }),
  ...events('deals/events/', ['onCrmDealAdd', 'onCrmDealUpdate', 'onCrmDealDelete'], fieldsId, { item: 'deal' }),
  ...events('deals/events/', ['onCrmDealMoveToCategory'], moved, { item: 'deal', content: true }),
  ...events('deals/recurring-deals/events/', ['onCrmDealRecurringAdd', 'onCrmDealRecurringUpdate'], recurring, { item: 'recurring-deal' }),
  ...events('deals/recurring-deals/events/', ['onCrmDealRecurringDelete'], fieldsId, { item: 'recurring-deal' }),
  ...events('deals/recurring-deals/events/', ['onCrmDealRecurringExpose'], exposed, { item: 'recurring-deal', content: true }),
  ...events('contacts/events/', ['onCrmContactAdd', 'onCrmContactUpdate', 'onCrmContactDelete'], fieldsId, { item: 'contact' }),
  ...events('companies/events/', ['onCrmCompanyAdd', 'onCrmCompanyUpdate', 'onCrmCompanyDelete'], fieldsId, { item: 'company' }),
  ...events('quote/events/', ['onCrmQuoteAdd', 'onCrmQuoteUpdate', 'onCrmQuoteDelete'], fieldsId, { item: 'quote' }),

  ...events('currency/events/', ['onCrmCurrencyAdd', 'onCrmCurrencyUpdate', 'onCrmCurrencyDelete'], currency, { item: 'currency' }),
  ...events('document-generator/documents/events/', [
    'onCrmDocumentGeneratorDocumentAdd', 'onCrmDocumentGeneratorDocumentUpdate', 'onCrmDocumentGeneratorDocumentDelete'
  ], document, { item: 'document' }),

  ...events('timeline/activities/events/', ['onCrmActivityAdd', 'onCrmActivityUpdate', 'onCrmActivityDelete'], fieldsId, { item: 'activity' }),
  ...events('timeline/activities/configurable/structure/action.md', ['onCrmTimelineItemAction'], action, {
    item: ['activity', 'activityId'], content: true
  }),
  ...events('timeline/comments/events/on-Crm-Timeline-Comment-Add.md', ['onCrmTimelineCommentAdd'], comment, commented),
  ...events('timeline/comments/events/on-Crm-Timeline-Comment-Update.md', ['onCrmTimelineCommentUpdate'], comment, commented),
  ...events('timeline/comments/events/on-Crm-Timeline-Comment-Delete.md', ['onCrmTimelineCommentDelete'], comment, commented)
}

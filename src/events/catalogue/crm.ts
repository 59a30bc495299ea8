import { eventTable } from './definition.ts'
import { fields, fieldsId, int, object, openObject, text } from './shapes.ts'

const events = eventTable('crm', 'api-reference/crm/')

const item = fields({ ID: int, ENTITY_TYPE_ID: int })
const document = fields({ ID: int, ENTITY_TYPE_ID: int, ENTITY_ID: int })
/** An identifier with letters: `CHE`. */
const currency = fields({ ID: text })
const recurring = fields({ ID: int, RECURRING_DEAL_ID: int })
const comment = object({ ID: int })
/** Beside these, every key of the action's own `actionParams`. */
const action = openObject({ id: text, entityTypeId: int, entityId: int, activityId: int, userId: int })

/** Smart processes and new invoices (type 31) come as dynamic items; the other types have events of their own, and only those. */
export const crm = {
  ...events('universal/events/', ['onCrmDynamicItemAdd', 'onCrmDynamicItemUpdate', 'onCrmDynamicItemDelete'], item, { suffixed: true }),
  ...events('universal/events/type/', ['onCrmTypeAdd', 'onCrmTypeUpdate', 'onCrmTypeDelete'], fieldsId),

  ...events('leads/events/', ['onCrmLeadAdd', 'onCrmLeadUpdate', 'onCrmLeadDelete'], fieldsId),
  ...events('deals/events/', ['onCrmDealAdd', 'onCrmDealUpdate', 'onCrmDealDelete'], fieldsId),
  ...events('deals/events/', ['onCrmDealMoveToCategory'], fields({ ID: int, CATEGORY_ID: int, STAGE_ID: text })),
  ...events('deals/recurring-deals/events/', ['onCrmDealRecurringAdd', 'onCrmDealRecurringUpdate'], recurring),
  ...events('deals/recurring-deals/events/', ['onCrmDealRecurringDelete'], fieldsId),
  ...events('deals/recurring-deals/events/', ['onCrmDealRecurringExpose'], fields({ ID: int, RECURRING_DEAL_ID: int, DEAL_ID: int })),
  ...events('contacts/events/', ['onCrmContactAdd', 'onCrmContactUpdate', 'onCrmContactDelete'], fieldsId),
  ...events('companies/events/', ['onCrmCompanyAdd', 'onCrmCompanyUpdate', 'onCrmCompanyDelete'], fieldsId),
  ...events('quote/events/', ['onCrmQuoteAdd', 'onCrmQuoteUpdate', 'onCrmQuoteDelete'], fieldsId),

  ...events('currency/events/', ['onCrmCurrencyAdd', 'onCrmCurrencyUpdate', 'onCrmCurrencyDelete'], currency),
  ...events('document-generator/documents/events/', [
    'onCrmDocumentGeneratorDocumentAdd', 'onCrmDocumentGeneratorDocumentUpdate', 'onCrmDocumentGeneratorDocumentDelete'
  ], document),

  ...events('timeline/activities/events/', ['onCrmActivityAdd', 'onCrmActivityUpdate', 'onCrmActivityDelete'], fieldsId),
  ...events('timeline/activities/configurable/structure/action.md', ['onCrmTimelineItemAction'], action),
  ...events('timeline/comments/events/on-Crm-Timeline-Comment-Add.md', ['onCrmTimelineCommentAdd'], comment),
  ...events('timeline/comments/events/on-Crm-Timeline-Comment-Update.md', ['onCrmTimelineCommentUpdate'], comment),
  ...events('timeline/comments/events/on-Crm-Timeline-Comment-Delete.md', ['onCrmTimelineCommentDelete'], comment)
}

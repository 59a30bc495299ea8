import type { Row } from './row-query.ts'

/** Of a new portal, so many that they would fill more than one page. */
const ENTITIES: Record<string, string> = {
  STATUS: 'NEW IN_PROCESS PROCESSED JUNK CONVERTED',
  SOURCE: 'CALL EMAIL WEB ADVERTISING PARTNER RECOMMENDATION TRADE_SHOW WEBFORM CALLBACK RC_GENERATOR STORE BOOKING OTHER',
  CONTACT_TYPE: 'CLIENT SUPPLIER PARTNER OTHER',
  COMPANY_TYPE: 'CUSTOMER SUPPLIER COMPETITOR PARTNER OTHER',
  EMPLOYEES: 'EMPLOYEES_1 EMPLOYEES_2 EMPLOYEES_3 EMPLOYEES_4',
  INDUSTRY: 'IT TELECOM MANUFACTURING BANKING CONSULTING FINANCE GOVERNMENT DELIVERY ENTERTAINMENT NOTPROFIT OTHER',
  DEAL_TYPE: 'SALE COMPLEX GOODS SERVICES SERVICE',
  DEAL_STAGE: 'NEW PREPARATION PREPAYMENT_INVOICE EXECUTING FINAL_INVOICE WON LOSE APOLOGY',
  QUOTE_STATUS: 'DRAFT SENT UNDECIDED APPROVED DECLAINED APOLOGY',
  HONORIFIC: 'HNR_EN_1 HNR_EN_2 HNR_EN_3 HNR_EN_4',
  CALL_LIST: 'IN_WORK SUCCESS WRONG_NUMBER STOP_CALLING'
}

/**
 * Rows of `crm.status.list`.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/crm/status/crm-status-list.md
 */
export function newStatuses (): Row[] {
  const rows = Object.entries(ENTITIES).flatMap(([entity, statuses]) => statuses.split(' ').map((status, place) => ({ entity, status, place })))
  return rows.map(({ entity, status, place }, index) => ({
    ID: String(101 + 2 * index),
    ENTITY_ID: entity,
    STATUS_ID: status,
    NAME: status,
    NAME_INIT: '',
    SORT: String(10 * (place + 1)),
    SYSTEM: place === 0 ? 'Y' : 'N',
    CATEGORY_ID: null
  }))
}

import type { Row } from './row-query.ts'

/** Kind of change of an item. */
export type Change = 'ADD' | 'UPDATE' | 'DELETE'

/** An event emitted by a portal. */
export interface EmittedEvent {
  code: string
  data: unknown
}

/** A smart process. */
export interface ItemType {
  id: number
  entityTypeId: number
  title: string
}

const NAMES = new Map([[1, 'LEAD'], [2, 'DEAL'], [3, 'CONTACT'], [4, 'COMPANY'], [7, 'QUOTE']])
const SMART_INVOICE = 31

/** Fields of every type. Others are custom fields, and fields set on an item of the type. */
const FIELDS = new Set((
  'id xmlId title createdBy updatedBy movedBy createdTime updatedTime movedTime categoryId opened stageId previousStageId begindate closedate ' +
  'companyId contactId contactIds contacts opportunity isManualOpportunity taxValue currencyId mycompanyId sourceId sourceDescription webformId ' +
  'assignedById lastActivityBy lastActivityTime observers parentId1 parentId2 utmSource utmMedium utmCampaign utmContent utmTerm typeId closed ' +
  'isNew isRecurring isReturnCustomer isRepeatedApproach probability locationId additionalInfo leadId quoteId comments originId originatorId ' +
  'name lastName secondName honorific post birthdate statusId'
).split(' '))
const OWN_FIELD = /^(ufCrm|UF_CRM|parentId\d)/

/** CRM items of a portal, by type and id. */
export class Items {
  readonly #types = new Map<number, ItemType>()
  readonly #items = new Map<number, Map<number, Row>>()
  readonly #given = new Map<number, Set<string>>()
  readonly #lastIds = new Map<number, number>()

  get types (): ItemType[] {
    return [...this.#types.values()]
  }

  /** Ids of the types with additional event codes: `ONCRMDYNAMICITEMADD_147`. */
  get dynamicTypes (): number[] {
    return [SMART_INVOICE, ...this.#types.keys()]
  }

  hasType (entityTypeId: number): boolean {
    return NAMES.has(entityTypeId) || entityTypeId === SMART_INVOICE || this.#types.has(entityTypeId)
  }

  /** Returns whether items of a type have a field. */
  hasField (entityTypeId: number, name: string): boolean {
    return FIELDS.has(name) || OWN_FIELD.test(name) || this.#given.get(entityTypeId)?.has(name) === true
  }

  /** Adds a smart process if it does not exist. */
  addType (entityTypeId: number, title = `Process ${entityTypeId}`): void {
    if (!this.hasType(entityTypeId)) this.#types.set(entityTypeId, { id: this.#types.size + 1, entityTypeId, title })
  }

  get (entityTypeId: number, id: number): Row | undefined {
    return this.#items.get(entityTypeId)?.get(id)
  }

  all (entityTypeId: number): Row[] {
    return [...this.#items.get(entityTypeId)?.values() ?? []]
  }

  /** Sets fields of an item, creating it if needed. `updatedTime` is updated if a field changes, unless given. */
  set (entityTypeId: number, id: number, fields: Row = {}): Row {
    const known = this.get(entityTypeId, id)
    if (known !== undefined) this.update(entityTypeId, id, fields)
    else this.#keep(entityTypeId, { ...newItem(entityTypeId, id), ...fields, id, entityTypeId })
    return this.get(entityTypeId, id) as Row
  }

  /** @returns `false` if the item already has these values */
  update (entityTypeId: number, id: number, fields: Row): boolean {
    const known = this.get(entityTypeId, id) as Row
    const changed = Object.entries(fields).filter(([name, value]) => !isSame(known[name], value))
    if (changed.length === 0) return false
    this.#keep(entityTypeId, { ...known, updatedTime: now(), ...Object.fromEntries(changed), id, entityTypeId })
    return true
  }

  /** Updates `updatedTime`, like a change that affects no field: of a phone, of product rows. */
  touch (entityTypeId: number, id: number): void {
    this.#keep(entityTypeId, { ...this.get(entityTypeId, id), updatedTime: now() })
  }

  /** Ids are never reused. */
  nextId (entityTypeId: number): number {
    return (this.#lastIds.get(entityTypeId) ?? 0) + 1
  }

  delete (entityTypeId: number, id: number): boolean {
    return this.#items.get(entityTypeId)?.delete(id) ?? false
  }

  #keep (entityTypeId: number, item: Row): void {
    this.addType(entityTypeId)
    const items = this.#items.get(entityTypeId) ?? new Map<number, Row>()
    const id = Number(item['id'])
    this.#items.set(entityTypeId, items.set(id, item))
    this.#lastIds.set(entityTypeId, Math.max(id, this.#lastIds.get(entityTypeId) ?? 0))
    const given = this.#given.get(entityTypeId) ?? new Set<string>()
    for (const name of Object.keys(item)) given.add(name)
    this.#given.set(entityTypeId, given)
  }
}

/** Returns the events of a change: one for deals etc., a common one and one of their type for smart processes. */
export function eventsOf (entityTypeId: number, id: number, change: Change): EmittedEvent[] {
  const name = NAMES.get(entityTypeId)
  if (name !== undefined) return [{ code: `ONCRM${name}${change}`, data: { FIELDS: { ID: id } } }]
  const code = `ONCRMDYNAMICITEM${change}`
  const data = { FIELDS: { ID: id, ENTITY_TYPE_ID: entityTypeId } }
  return [{ code, data }, { code: `${code}_${entityTypeId}`, data }]
}

function newItem (entityTypeId: number, id: number): Row {
  return { id, entityTypeId, title: `Item ${id}`, createdTime: now(), updatedTime: now() }
}

function now (): string {
  return new Date().toISOString().replace(/\.\d+Z$/, '+00:00')
}

/** Compares values as encoded in a form: numbers and booleans as text, without null. */
function isSame (known: unknown, given: unknown): boolean {
  if (!isMap(known) || !isMap(given)) return textOf(known) === textOf(given)
  const keys = new Set([...Object.keys(known), ...Object.keys(given)])
  return [...keys].every(key => isSame(known[key], given[key]))
}

function isMap (value: unknown): value is Row {
  return typeof value === 'object' && value !== null
}

function textOf (value: unknown): string {
  if (typeof value === 'boolean') return value ? 'Y' : 'N'
  if (!isMap(value)) return String(value ?? '')
  return Object.keys(value).length === 0 ? '' : JSON.stringify(value)
}

/** Statuses of a new portal, more than fit on one page. */
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
 * Creates the rows of `crm.status.list`.
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

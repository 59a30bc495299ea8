import { encodeForm } from '../../src/testing/portal/form.ts'

/** Who sends an event. */
export interface Sender {
  memberId: string
  domain: string
  applicationToken: string
}

/** Stands in a body where each post has an id of its own. */
export const ITEM_ID = 'ITEM_ID'

/**
 * The documented example of onCrmDynamicItemUpdate, as PHP encodes it.
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/crm/universal/events/on-crm-dynamic-item-update.md
 */
export function itemUpdate ({ memberId, domain, applicationToken }: Sender, id = '24'): string {
  return encodeForm({
    event: 'ONCRMDYNAMICITEMUPDATE',
    event_handler_id: '48',
    data: { FIELDS: { ID: id, ENTITY_TYPE_ID: '1220' } },
    ts: '1743152062',
    auth: {
      access_token: 'b'.repeat(70),
      expires: '1743155662',
      expires_in: '3600',
      scope: 'crm',
      domain,
      server_endpoint: 'https://oauth.bitrix.info/rest/',
      status: 'F',
      client_endpoint: `https://${domain}/rest/`,
      member_id: memberId,
      user_id: '1',
      application_token: applicationToken
    }
  })
}

import { encodeForm } from '../../src/testing/index.ts'

/**
 * The documented example of onCrmDynamicItemUpdate, as PHP encodes it.
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/crm/universal/events/on-crm-dynamic-item-update.md
 */
export function itemUpdate (portal: { memberId: string, domain: string, applicationToken: string }): string {
  return encodeForm({
    event: 'ONCRMDYNAMICITEMUPDATE',
    event_handler_id: '48',
    data: { FIELDS: { ID: '24', ENTITY_TYPE_ID: '1220' } },
    ts: '1743152062',
    auth: {
      access_token: 'b'.repeat(70),
      expires: '1743155662',
      expires_in: '3600',
      scope: 'crm',
      domain: portal.domain,
      server_endpoint: 'https://oauth.bitrix.info/rest/',
      status: 'F',
      client_endpoint: `https://${portal.domain}/rest/`,
      member_id: portal.memberId,
      user_id: '1',
      application_token: portal.applicationToken
    }
  })
}

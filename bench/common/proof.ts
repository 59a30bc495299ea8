import { hash, timingSafeEqual } from 'node:crypto'
import type { Install } from '../../src/installs/install.ts'

/** The form of the documented event, as it is decoded. */
export interface Body {
  event: string
  data: { FIELDS: { ID: string, ENTITY_TYPE_ID: string } }
  ts: string
  auth: { member_id: string, application_token: string, domain: string }
}

/** What one writes by hand: whether the record of the portal has the token that was posted. */
export function proves (record: string | null, token: string): boolean {
  if (record === null) return false
  const install: Install = JSON.parse(record.slice(record.indexOf(' ') + 1))
  return timingSafeEqual(Buffer.from(hash('sha256', token, 'base64url')), Buffer.from(install.token))
}

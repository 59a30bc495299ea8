import { MEMBER_ID } from './envelope.ts'

/**
 * What a user's browser posts into the frame of an app: its install page, its own page, a placement. Nothing of it is
 * believed before an OAuth server has confirmed the pair.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/oauth/simple-way.md
 */
export interface PagePost {
  memberId: string
  /** Pair of the user who opened the page. Secrets, as is the application token. */
  accessToken: unknown
  refreshToken: unknown
  serverEndpoint: unknown
  /** `undefined` from portals on servers of their own that are old. */
  applicationToken: string | undefined
}

/** Largest form of a page, in bytes: the documented ones have some 1,500. */
export const MAX_PAGE_BYTES = 32 * 1024

const LONGEST_TOKEN = 512
const KEYS = ['AUTH_ID', 'REFRESH_ID', 'PLACEMENT', 'APPLICATION_TOKEN']

/** Tells such a post from an event, by its shape. */
export function isPagePost (body: unknown): body is Record<string, unknown> {
  return typeof body === 'object' && body !== null && !Object.hasOwn(body, 'event') && KEYS.some(key => Object.hasOwn(body, key))
}

/** Reads the body of such a post; `undefined` where it names no portal. */
export function readPagePost (body: Record<string, unknown>): PagePost | undefined {
  const { member_id: memberId, AUTH_ID: accessToken, REFRESH_ID: refreshToken, SERVER_ENDPOINT: serverEndpoint, APPLICATION_TOKEN: token } = body
  if (typeof memberId !== 'string' || !MEMBER_ID.test(memberId)) return undefined
  const applicationToken = typeof token === 'string' && token !== '' && token.length <= LONGEST_TOKEN ? token : undefined
  return { memberId, accessToken, refreshToken, serverEndpoint, applicationToken }
}

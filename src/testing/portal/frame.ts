import type { SimulatedPair } from '../tokens.ts'

/** How a user opens the app in the portal. */
export interface OpenOptions {
  /** @default 1, an admin */
  user?: number
  /** Language of the portal's page, such as `ru`. @default 'en' */
  lang?: string
  /** @default 'DEFAULT' */
  placement?: string
  /** Sent as JSON. @default absent */
  placementOptions?: object
  /** Merged into the body, to forge it; `null` omits a field, as older portals do. */
  fields?: Record<string, string | null>
  /** Merged into the query; `null` omits a parameter. */
  query?: Record<string, string | null>
}

/** A form that the portal's page posts into the frame of the app. */
export interface FrameForm {
  url: string
  fields: Record<string, string>
}

export interface FrameParts {
  pair: SimulatedPair
  applicationToken: string
  /** Origin of the OAuth server. */
  origin: string
  /** Identifies the frame in messages to the embedding page. */
  appSid: string
}

/**
 * Creates the form that opens an app, its install page or a placement.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/oauth/simple-way.md
 */
export function frameForm (url: string, { pair, applicationToken, origin, appSid }: FrameParts, options: OpenOptions): FrameForm {
  const { portal, accessToken, refreshToken } = pair
  const { lang = 'en', placement = 'DEFAULT', placementOptions } = options
  const query = present({ DOMAIN: portal.domain, PROTOCOL: '1', LANG: lang, APP_SID: appSid, ...options.query })
  const fields = {
    AUTH_ID: accessToken,
    AUTH_EXPIRES: '3600',
    REFRESH_ID: refreshToken,
    SERVER_ENDPOINT: `${origin}/rest/`,
    APPLICATION_TOKEN: applicationToken,
    APPLICATION_SCOPE: portal.scope.join(','),
    member_id: portal.memberId,
    status: portal.status,
    PLACEMENT: placement,
    PLACEMENT_OPTIONS: placementOptions === undefined ? null : JSON.stringify(placementOptions),
    ...options.fields
  }
  return { url: `${url}${url.includes('?') ? '&' : '?'}${new URLSearchParams(query).toString()}`, fields: present(fields) }
}

function present (fields: Record<string, string | null>): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).filter((field): field is [string, string] => field[1] !== null))
}

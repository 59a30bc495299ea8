/**
 * The origins of Bitrix24's own OAuth servers: the one of the Russian-speaking regions, then the one of all others.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/oauth/index.md
 */
export const GENUINE_OAUTH_SERVERS: readonly string[] = ['https://oauth.bitrix24.tech', 'https://oauth.bitrix.info']

/**
 * Picks the allowed origin that a body's `server_endpoint` names, such as `https://oauth.bitrix.info/rest/`.
 *
 * The text is compared as it came: no URL parser, so none of its leniencies (userinfo, backslashes, case, look-alike letters).
 *
 * @returns the first origin when the body names none (older portals); `undefined` when it names another: never contact that
 */
export function chooseServer (allowed: readonly string[], serverEndpoint: unknown): string | undefined {
  if (serverEndpoint === undefined || serverEndpoint === '') return allowed[0]
  if (typeof serverEndpoint !== 'string') return undefined
  return allowed.find(origin => serverEndpoint === origin || serverEndpoint.startsWith(`${origin}/`))
}

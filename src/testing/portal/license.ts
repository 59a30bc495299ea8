import type { BucketOptions } from './bucket.ts'

/**
 * What `app.info` says of a plan: `en_pro100`, `pro100`, `pro`.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/common/system/app-info.md
 */
export function describeLicense (license: string, language: string): { LICENSE: string, LICENSE_TYPE: string, LICENSE_FAMILY: string } {
  return { LICENSE: `${language}_${license}`, LICENSE_TYPE: license, LICENSE_FAMILY: familyOf(license) }
}

/**
 * How many calls a portal of the plan bears.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/performance/limits.md
 */
export function limitsOf (license: string): BucketOptions {
  return familyOf(license) === 'ent' ? { cap: 250, drainPerSecond: 5 } : { cap: 50, drainPerSecond: 2 }
}

function familyOf (license: string): string {
  return license.startsWith('ent') ? 'ent' : license.replace(/\d+$/, '')
}

/** @ts-ignore Not there where the package is not installed: `any` then. */
type Installed = import('@bitrix24/b24jssdk').B24OAuth

/** Stands for the client where `@bitrix24/b24jssdk` is not installed. */
export interface OfficialClientMissing {
  /** `npm install @bitrix24/b24jssdk`, and this is its `B24OAuth`. */
  readonly isMissing: '@bitrix24/b24jssdk is not installed'
}

/** `B24OAuth` of `@bitrix24/b24jssdk`, an optional peer. */
export type OfficialClient = string extends keyof Installed ? OfficialClientMissing : Installed

// Apart from sdk.ts, whose own types need the package: these are what an app without it compiles.

/** @ts-ignore `any` if the package is not installed. */
type Installed = import('@bitrix24/b24jssdk').B24OAuth

/** Type of the client while `@bitrix24/b24jssdk` is not installed. */
export interface OfficialClientMissing {
  /** `npm install @bitrix24/b24jssdk` turns this type into its `B24OAuth`. */
  readonly isMissing: '@bitrix24/b24jssdk is not installed'
}

/** `B24OAuth` of `@bitrix24/b24jssdk`, an optional peer. */
export type OfficialClient = string extends keyof Installed ? OfficialClientMissing : Installed

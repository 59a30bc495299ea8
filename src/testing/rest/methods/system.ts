import { describeLicense } from '../../portal/limits.ts'
import type { MethodTable } from '../rest-call.ts'
import { describeUser, USER_SCOPES } from './lists.ts'

const LANGUAGE = 'en'

/** Methods about the caller, the portal and the app's permissions. */
export const systemMethods: MethodTable = {
  'app.info': {
    run: ({ portal, pair }) => ({
      result: {
        ID: 42,
        CODE: pair.clientId,
        VERSION: portal.version,
        STATUS: portal.status,
        INSTALLED: portal.installed,
        PAYMENT_EXPIRED: portal.paid ? 'N' : 'Y',
        DAYS: null,
        LANGUAGE_ID: LANGUAGE,
        ...describeLicense(portal.license, LANGUAGE)
      }
    })
  },
  profile: {
    run: ({ user }) => ({
      result: { ID: String(user.id), ADMIN: user.admin, NAME: user.name, LAST_NAME: '', PERSONAL_GENDER: '', PERSONAL_PHOTO: '', TIME_ZONE: '', TIME_ZONE_OFFSET: 0 }
    })
  },
  'user.current': { scope: USER_SCOPES, run: ({ user }) => ({ result: describeUser(user) }) },
  'user.admin': { run: ({ user }) => ({ result: user.admin }) },
  scope: { run: ({ portal }) => ({ result: [...portal.scope] }) },
  'server.time': { run: () => ({ result: new Date().toISOString().replace(/\.\d+Z$/, '+00:00') }) },
  'feature.get': { run: call => ({ result: { value: call.portal.features.has(call.needText('code')) ? 'Y' : 'N' } }) }
}

/** `im.v2.Event.*`: chat events of a user, which can only be fetched. */
export const imMethods: MethodTable = {
  'im.v2.event.subscribe': {
    scope: 'im',
    run: ({ portal, pair: { userId } }) => {
      portal.imEvents.subscribe(userId)
      return { result: true }
    }
  },
  'im.v2.event.unsubscribe': {
    scope: 'im',
    run: ({ portal, pair: { userId } }) => {
      portal.imEvents.unsubscribe(userId)
      return { result: true }
    }
  },
  'im.v2.event.get': {
    scope: 'im',
    run: call => ({ result: call.portal.imEvents.fetch(call.pair.userId, call.integer('offset'), call.integer('limit')) })
  }
}

import type { MethodTable } from '../rest-call.ts'

/** `im.v2.Event.*`: events of a user's own chats, which are fetched and never posted. */
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

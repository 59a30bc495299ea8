import { basic } from './basic.ts'
import { bookings } from './booking.ts'
import { calendar } from './calendar.ts'
import { catalog } from './catalog.ts'
import { crm } from './crm.ts'
import { crmFields } from './crm-fields.ts'
import { crmOutdated } from './crm-outdated.ts'
import { crmRequisites } from './crm-requisites.ts'
import { humanResources } from './humanresources.ts'
import { im } from './im.ts'
import { imbot } from './imbot.ts'
import { imbotOutdated } from './imbot-outdated.ts'
import { imconnector } from './imconnector.ts'
import { imopenlines } from './imopenlines.ts'
import { log } from './log.ts'
import { sale } from './sale.ts'
import { sign } from './sign.ts'
import { sonet } from './sonet.ts'
import { task } from './task.ts'
import { telephony } from './telephony.ts'
import { user } from './user.ts'
import { userFields } from './userfields.ts'

/** All known events by name: the documented ones, and a few found only in the sources of Bitrix24's modules. */
export const catalogue = {
  ...basic,
  ...bookings,
  ...calendar,
  ...catalog,
  ...crm,
  ...crmFields,
  ...crmRequisites,
  ...crmOutdated,
  ...humanResources,
  ...im,
  ...imbot,
  ...imbotOutdated,
  ...imconnector,
  ...imopenlines,
  ...log,
  ...sale,
  ...sign,
  ...sonet,
  ...task,
  ...telephony,
  ...user,
  ...userFields
}

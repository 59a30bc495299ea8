import { undocumented } from './definition.ts'
import { fieldsId } from './shapes.ts'

/** The settings of custom fields, of the CRM and of all else. One numbering with those of the CRM's own events. */
export const userFields = undocumented('userfieldconfig', { item: 'userfield' })(
  ['MAIN.ON.USER.TYPE.ADD', 'MAIN.ON.USER.TYPE.UPDATE', 'MAIN.ON.USER.TYPE.DELETE'], fieldsId
)

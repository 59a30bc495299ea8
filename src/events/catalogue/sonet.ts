import { eventTable } from './definition.ts'
import { fieldsId, int, object } from './shapes.ts'

// The event pages say `sonet`, which no portal knows: the page of permissions, and the portal, say `sonet_group`.
const events = eventTable('sonet_group', 'api-reference/sonet-group/')

export const sonet = {
  ...events('events/', ['onSonetGroupAdd', 'onSonetGroupUpdate', 'onSonetGroupDelete'], fieldsId, { item: 'group' }),
  // The old pages name the key and no type.
  ...events('outdated/', ['onSonetGroupSubjectAdd', 'onSonetGroupSubjectUpdate', 'onSonetGroupSubjectDelete'],
    object({ ID: int }), { deprecated: true, item: ['group-subject', 'ID'] })
}

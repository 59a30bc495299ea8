import { eventTable, undocumented } from './definition.ts'
import { int, object, text } from './shapes.ts'

const events = eventTable('calendar', 'api-reference/calendar/')
const rooms = undocumented('calendar', { item: ['calendar-room', 'id'] })
const id = object({ id: text })

export const calendar = {
  ...events('calendar-event/events/', [
    'onCalendarEntryAdd', 'onCalendarEntryUpdate', 'onCalendarEntryDelete'
  ], id, { item: ['calendar-entry', 'id'] }),
  // Also for resources: a resource is a section.
  ...events('events/', [
    'onCalendarSectionAdd', 'onCalendarSectionUpdate', 'onCalendarSectionDelete'
  ], id, { item: ['calendar-section', 'id'] }),
  ...rooms(['onCalendarRoomCreate', 'onCalendarRoomUpdate', 'onCalendarRoomDelete'], object({ id: int }))
}

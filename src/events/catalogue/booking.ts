import { eventTable } from './definition.ts'
import { int, object } from './shapes.ts'

const booking = eventTable('booking', 'api-reference/booking/')
const id = object({ ID: int })
const waiting = { item: ['booking-waitlist', 'ID'] } as const

export const bookings = {
  ...booking('booking/events/', ['onBookingAdd', 'onBookingUpdate', 'onBookingDelete'], id, { item: ['booking', 'ID'] }),
  ...booking('resource/events/', [
    'onBookingResourceAdd', 'onBookingResourceUpdate', 'onBookingResourceDelete'
  ], id, { item: ['booking-resource', 'ID'] }),
  ...booking('resource/resource-type/events/', [
    'onBookingResourceTypeAdd', 'onBookingResourceTypeUpdate', 'onBookingResourceTypeDelete'
  ], id, { item: ['booking-resource-type', 'ID'] }),
  ...booking('waitlist/events/on-booking-waitlistitem-add.md', ['onBookingWaitListItemAdd'], id, waiting),
  ...booking('waitlist/events/on-booking-waitlistitem-update.md', ['onBookingWaitListItemUpdate'], id, waiting),
  ...booking('waitlist/events/on-booking-waitlistitem-delete.md', ['onBookingWaitListItemDelete'], id, waiting)
}

import { eventTable } from './definition.ts'
import { int, object } from './shapes.ts'

const booking = eventTable('booking', 'api-reference/booking/')
const id = object({ ID: int })

export const bookings = {
  ...booking('booking/events/', ['onBookingAdd', 'onBookingUpdate', 'onBookingDelete'], id),
  ...booking('resource/events/', ['onBookingResourceAdd', 'onBookingResourceUpdate', 'onBookingResourceDelete'], id),
  ...booking('resource/resource-type/events/', [
    'onBookingResourceTypeAdd', 'onBookingResourceTypeUpdate', 'onBookingResourceTypeDelete'
  ], id),
  ...booking('waitlist/events/on-booking-waitlistitem-add.md', ['onBookingWaitListItemAdd'], id),
  ...booking('waitlist/events/on-booking-waitlistitem-update.md', ['onBookingWaitListItemUpdate'], id),
  ...booking('waitlist/events/on-booking-waitlistitem-delete.md', ['onBookingWaitListItemDelete'], id)
}

import { eventPage } from './definition.ts'
import { fields, int } from './shapes.ts'

const events = eventPage('log', 'api-reference/log/events/')

export const log = {
  ...events([
    'onLiveFeedPostAdd', 'onLiveFeedPostUpdate', 'onLiveFeedPostDelete'
  ], fields({ POST_ID: int }), { item: ['post', 'FIELDS.POST_ID'] })
}

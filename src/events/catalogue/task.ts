import type { TProperties } from 'typebox'
import { eventPage } from './definition.ts'
import { int, object, oneOf, optional, orUndefined, yesNo } from './shapes.ts'

const tasks = eventPage('task', 'api-reference/tasks/events-tasks/')
const comments = eventPage('task', 'api-reference/tasks/comment-item/events-comment/')

/** A task that is new has no fields before, one that is gone none after. */
const beforeAfter = <B extends TProperties, A extends TProperties>(before: B, after: A) => object({
  FIELDS_BEFORE: orUndefined(object(before)),
  FIELDS_AFTER: orUndefined(object(after)),
  IS_ACCESSIBLE_BEFORE: orUndefined(yesNo),
  IS_ACCESSIBLE_AFTER: orUndefined(yesNo)
})

const beforeOrAfter = 'FIELDS_AFTER.ID|FIELDS_BEFORE.ID'

const id = { ID: int }
const comment = { ID: int, TASK_ID: int }
/** With the new task card (tasks 25.700.0) ID is 0, and MESSAGE_ID is the message in the task's chat. */
const added = { ...comment, MESSAGE_ID: optional(int) }

export const task = {
  ...tasks(['onTaskAdd', 'onTaskUpdate', 'onTaskDelete'], beforeAfter(id, id), { item: ['task', beforeOrAfter] }),
  ...comments(['onTaskCommentAdd'], beforeAfter(added, added), { item: ['task-comment', beforeOrAfter] }),
  // The new task card sends neither.
  ...comments(['onTaskCommentUpdate'], beforeAfter(comment, { ...comment, ACTION: oneOf('EDIT') }), { item: ['task-comment', beforeOrAfter] }),
  ...comments(['onTaskCommentDelete'], beforeAfter(comment, { ...comment, ACTION: oneOf('DEL') }), { item: ['task-comment', beforeOrAfter] })
}

import type { Job } from 'bullmq'
import type { QueuedEvent } from '../queue.ts'

/** Name of a job: its code, and, where it has one, the item that it needs for itself, as scripts and boards read it. */
export function nameOf ({ code, memberId, item }: QueuedEvent): string {
  return item === undefined ? word(code) : `${word(code)} ${word(memberId)} ${word(item)}`
}

/** The item of a job, as its name tells it. */
export function itemOf ({ name }: Job): string | undefined {
  const space = name.indexOf(' ')
  return space === -1 ? undefined : name.slice(space + 1)
}

/** No text of a stranger's may look like two. */
function word (text: string): string {
  return text.replace(/[\s%]/g, encodeURIComponent)
}

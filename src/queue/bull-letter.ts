import type { Job } from 'bullmq'
import { bareError } from '../redis/deadline.ts'
import type { DeadLetter, QueuedEvent } from './queue.ts'

/** What BullMQ has no place for; it stands where a stack trace would. */
interface Facts {
  attempts?: number
  coalesced?: number
  code?: string
}

/** Makes an error for BullMQ to keep: the message as the reason, the facts as the only line of its trace. */
export function keepable (reason: unknown, attempts: number, coalesced: number): Error {
  const { message, code } = bareError(reason) as NodeJS.ErrnoException
  const kept = new Error(message)
  kept.stack = JSON.stringify({ attempts, coalesced, ...(code !== undefined && { code }) } satisfies Facts)
  return kept
}

/** Reads what `keepable` wrote. */
export function factsOf ({ stacktrace }: Job): Facts {
  try {
    // Jobs of strangers have a real trace there, or anything.
    return { ...JSON.parse(stacktrace?.at(-1) ?? '{}') as Facts | null }
  } catch {
    return {}
  }
}

/** The event of a job, or `undefined` when it is none of this plugin. */
export function eventOf ({ data }: Job): QueuedEvent | undefined {
  const event = data as Partial<QueuedEvent> | null
  const isEvent = typeof event?.id === 'string' && typeof event.memberId === 'string' && typeof event.code === 'string' && typeof event.receivedAt === 'number'
  return isEvent ? event as QueuedEvent : undefined
}

/** Attempts that were made at a job until now: those that failed, and those that their worker did not survive. */
export function attemptsOf ({ attemptsMade, stalledCounter }: Job): number {
  return attemptsMade + stalledCounter
}

/** Makes a dead letter of a failed job. */
export function letterOf (job: Job): DeadLetter {
  const event = eventOf(job)
  const { attempts = attemptsOf(job), coalesced = 1, code } = factsOf(job)
  return {
    id: job.id as string,
    memberId: textOf(job.data, 'memberId'),
    code: textOf(job.data, 'code'),
    receivedAt: event?.receivedAt ?? job.timestamp,
    failedAt: job.finishedOn as number,
    attempts,
    coalesced,
    error: { message: job.failedReason, ...(code !== undefined && { code }) },
    ...(event !== undefined && { event })
  }
}

function textOf (data: unknown, name: 'memberId' | 'code'): string {
  const value = (data as Partial<QueuedEvent> | null)?.[name]
  return typeof value === 'string' ? value : ''
}

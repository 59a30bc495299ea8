import type { Job } from 'bullmq'
import { bareError } from '../../storage/unavailable.ts'
import type { StoredLetter, QueuedEvent } from '../queue.ts'

/** What BullMQ has no place for; it stands where a stack trace would. */
interface Facts {
  attempts?: number
  coalesced?: number
  code?: string
  /** What the job keeps as its progress was still true: no repeat had come in since. */
  isCurrent?: true
}

/** Makes an error for BullMQ to keep: the message as the reason, the facts as the only line of its trace. */
export function keepable (reason: unknown, { attempts, coalesced, progress }: { attempts: number, coalesced: number, progress: unknown }): Error {
  const { message, code } = bareError(reason) as NodeJS.ErrnoException
  const kept = new Error(message)
  kept.stack = JSON.stringify({ attempts, coalesced, ...(code !== undefined && { code }), ...(progress !== undefined && { isCurrent: true }) } satisfies Facts)
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

/** What a job that is tried anew begins with, as `BullRun` keeps it; `undefined` for nothing. */
export function renewedProgress (job: Job): string | undefined {
  const [, progress] = (Array.isArray(job.progress) ? job.progress : []) as unknown[]
  // The count of repeats ended with the job.
  return factsOf(job).isCurrent === true ? JSON.stringify([0, progress]) : undefined
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
export function letterOf (job: Job): StoredLetter {
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

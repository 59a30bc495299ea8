import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import { hostname } from 'node:os'

/** Says which process it is, to others of the machine. */
export interface ProcessSign {
  pid: number
  /** Names the processes whose ids are of one kind: a container has others than its host. Hex. */
  processes: string
}

export function ownSign (): ProcessSign {
  return { pid: process.pid, processes: createHash('sha256').update(`${hostname()} ${namespace()}`).digest('hex').slice(0, 16) }
}

/** Whether the process is known to have ended; of another machine or container nothing is known. */
export function hasEnded ({ pid, processes }: Partial<ProcessSign>, ours: ProcessSign): boolean {
  if (pid === undefined || processes !== ours.processes) return false
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

function namespace (): number | undefined {
  try {
    return statSync('/proc/self/ns/pid', { throwIfNoEntry: false })?.ino
  } catch {
    return undefined
  }
}

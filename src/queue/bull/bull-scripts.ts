import { setTimeout as sleep } from 'node:timers/promises'
import type { IRedisClient } from 'bullmq'
import type { Redis } from 'ioredis'

/** Until the next job is asked for after a failure, ms. */
const REFUSED_MS = 500

/** A script as BullMQ defines it. */
export type Script = Parameters<IRedisClient['defineCommand']>[1]

/** Runs a script in another way; gets what BullMQ passes to it, and answers what the script would. */
export type Route = (args: unknown[]) => Promise<unknown>

/** Scripts of BullMQ by their name, and which of them are run in another way. */
export class BullScripts {
  readonly routes = new Map<string, Route>()
  readonly #scripts = new Map<string, Script>()

  /** Asked for when BullMQ is ready, for then it has defined them. */
  get (name: string): Script {
    return this.#scripts.get(name) as Script
  }

  /**
   * Changes what BullMQ sees of a client: its scripts are noted, and run by their route where they have one; what a client
   * that fails fast gives up is tried again by BullMQ, not too soon.
   */
  adapt (adapted: IRedisClient): void {
    const { runCommand, defineCommand } = adapted
    adapted.runCommand = async (command, args) => {
      const name = nameOf(command)
      try {
        const route = this.routes.get(name)
        return await (route === undefined ? runCommand(command, args) : route(args))
      } catch (error) {
        // When a server takes no writes, BullMQ would ask for the next job again at once.
        if (name === 'moveToActive') await sleep(REFUSED_MS)
        // BullMQ takes only some errors for those of a connection.
        throw Object.assign(error as Error, (error as Error).name !== 'ReplyError' && { code: 'ECONNREFUSED' })
      }
    }
    adapted.defineCommand = (command, script) => {
      this.#scripts.set(nameOf(command), script)
      defineCommand(command, script)
    }
  }
}

/** Defines a command of `client`; returns what runs it, given its keys and then its arguments. */
export function defineScript<Answer> (client: Redis, command: string, script: Script): (args: unknown[]) => Promise<Answer> {
  client.defineCommand(command, script)
  return (client as unknown as Record<string, (args: unknown[]) => Promise<Answer>>)[command]!.bind(client)
}

/** A command is named `<script>:<version of BullMQ>`. */
function nameOf (command: string): string {
  return command.slice(0, command.indexOf(':'))
}

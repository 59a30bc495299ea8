// What the demo and the workers must agree on. Without B24_CLIENT_ID: the app that the simulated portals install.
import type { FastifyBitrix24Options } from 'fastify-bitrix24'

const { B24_CLIENT_ID, B24_CLIENT_SECRET, B24_MEMBER_ID, B24_APPLICATION_TOKEN, PUBLIC_URL, REDIS_URL } = process.env

export const isSimulated = B24_CLIENT_ID === undefined

/** Keys of the simulated app: they open nothing but the simulator. */
export const simulatedKeys = { clientId: 'local.simulated', clientSecret: 'known to everybody' }
export const simulatorPort = portOf('SIMULATOR_PORT', 3024)
export const port = portOf('PORT', 3000)

export const settings: FastifyBitrix24Options = {
  clientId: B24_CLIENT_ID ?? simulatedKeys.clientId,
  clientSecret: isSimulated ? simulatedKeys.clientSecret : B24_CLIENT_SECRET,
  redis: REDIS_URL,
  // Whoever handles an install subscribes the portal, and be it a worker.
  publicUrl: PUBLIC_URL ?? (isSimulated ? `http://127.0.0.1:${port}` : undefined),
  webhooks: B24_MEMBER_ID !== undefined && B24_APPLICATION_TOKEN !== undefined
    ? [{ memberId: B24_MEMBER_ID, applicationToken: B24_APPLICATION_TOKEN }]
    : [],
  ...(isSimulated && { oauthServers: [`http://127.0.0.1:${simulatorPort}`], allowPrivateNetworks: true })
}

function portOf (name: string, standard: number): number {
  const port = Number(process.env[name] ?? standard)
  return Number.isInteger(port) && port >= 0 && port < 65_536 ? port : stop(`${name} must be a port from 0 to 65535`)
}

/** For the end of what listens at a port: says in one line that it is taken. */
export function stopIfTaken (name: string, port: number): (error: NodeJS.ErrnoException) => never {
  return (error) => {
    if (error.code === 'EADDRINUSE') stop(`Port ${port} is taken: set ${name} to another one`)
    throw error
  }
}

function stop (message: string): never {
  console.error(message)
  process.exit(1)
}

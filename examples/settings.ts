// What the server and the workers must agree on. Without B24_CLIENT_ID: the app that the simulated portals install.
import type { FastifyBitrix24Options } from 'fastify-bitrix24'

const { B24_CLIENT_ID, B24_CLIENT_SECRET, B24_MEMBER_ID, B24_APPLICATION_TOKEN, REDIS_URL, SIMULATOR_PORT = '3024' } = process.env

export const isSimulated = B24_CLIENT_ID === undefined

/** Keys of the simulated app: they open nothing but the simulator. */
export const simulatedKeys = { clientId: 'local.simulated', clientSecret: 'known to everybody' }
export const simulatorPort = Number(SIMULATOR_PORT)

export const settings: FastifyBitrix24Options = {
  clientId: B24_CLIENT_ID ?? simulatedKeys.clientId,
  clientSecret: isSimulated ? simulatedKeys.clientSecret : B24_CLIENT_SECRET,
  redis: REDIS_URL,
  webhooks: B24_MEMBER_ID !== undefined && B24_APPLICATION_TOKEN !== undefined
    ? [{ memberId: B24_MEMBER_ID, applicationToken: B24_APPLICATION_TOKEN }]
    : [],
  ...(isSimulated && { oauthServers: [`http://127.0.0.1:${simulatorPort}`], allowPrivateNetworks: true })
}

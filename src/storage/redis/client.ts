/**
 * What the plugin asks of a Redis client. `Redis` and `Cluster` of ioredis 5 and 6 both have it, so an app can pass
 * the client that it already owns.
 */
export interface RedisClient {
  mget (keys: string[]): Promise<Array<string | null>>
  eval (script: string, numberOfKeys: number, ...keysAndArguments: Array<string | number>): Promise<unknown>
  /** The queue has connections of its own, to where this one is connected. */
  duplicate (...args: never[]): unknown
}

/** What the stores use. Every command is answered in time or rejects with `FST_B24_STORE_UNAVAILABLE`. */
export interface BoundedClient extends Pick<RedisClient, 'eval'> {
  /** All keys that are asked for at once must be of one app: they travel in one command. */
  get (key: string): Promise<string | null>
}

/**
 * What the plugin asks of a Redis client. `Redis` and `Cluster` of ioredis 5 and 6 both have it, so an app can pass
 * the client that it already owns.
 */
export interface RedisClient {
  get (key: string): Promise<string | null>
  eval (script: string, numberOfKeys: number, ...keysAndArguments: Array<string | number>): Promise<unknown>
  ping (): Promise<string>
}

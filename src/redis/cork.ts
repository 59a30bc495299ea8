import type { Redis } from 'ioredis'

/**
 * Makes a function to be called before a command: what is sent in one turn of the event loop travels in one write.
 *
 * The pipelines of ioredis do so too, for a price of their own that only dozens of commands earn back. A Cluster has no stream
 * of its own, and is left as it is.
 */
export function corkOf (client: Redis): () => void {
  let isCorked = false
  return () => {
    if (isCorked) return
    const { stream } = client
    if (!stream?.writable) return
    isCorked = true
    stream.cork()
    setImmediate(() => {
      isCorked = false
      stream.uncork()
    })
  }
}

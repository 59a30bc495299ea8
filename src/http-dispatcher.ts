/**
 * A `Dispatcher` of undici 6 or later, such as its `ProxyAgent`. Typed structurally, so that no undici version becomes part of the public types.
 */
export interface HttpDispatcher {
  dispatch (options: never, handler: never): boolean
}

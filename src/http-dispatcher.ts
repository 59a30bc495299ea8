/**
 * What sends requests: a `Dispatcher` of undici 6 or later, such as its `ProxyAgent`. Named by its shape, so that no version of undici is
 * part of our types.
 */
export interface HttpDispatcher {
  dispatch (options: never, handler: never): boolean
}

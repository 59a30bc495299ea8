import { createHash } from 'node:crypto'
import type { List } from './list-page.ts'

/**
 * Walks through a list by `start`, as `next` and `total` say. A method that tells neither and gives the same again from another `start` has no pages:
 * what it gave is all.
 *
 * @throws FST_B24_LIST for a page that comes again, and for an end before `total`
 */
export async function * pagesByStart<T> (list: List): AsyncGenerator<T[], void, undefined> {
  const seen = new Set<string>()
  let [start, count, isGuess] = [0, 0, false]
  for (;;) {
    const page = await list.page({ start })
    if (page.rows.length === 0) {
      if ((page.total ?? 0) > count) throw list.error(`it gave ${count} of ${page.total} items`)
      return
    }
    const digest = createHash('sha1').update(JSON.stringify(page.rows)).digest('base64')
    if (seen.has(digest)) {
      if (isGuess && !list.isKnownToPage && !page.hasMore) return
      throw list.error('it gives the same page again')
    }
    seen.add(digest)
    count += page.rows.length
    yield page.rows as T[]
    const { next, total = 0 } = page
    if (next !== undefined && next <= start) throw list.error(`its next page begins at ${next}, which is not behind ${start}`)
    if (next === undefined && (total > 0 ? count >= total : page.isLast)) return
    isGuess = next === undefined && total === 0
    start = next ?? count
  }
}

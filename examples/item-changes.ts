// What changed about an item since this process saw it last. Events bring identifiers only, so the portal is asked.
import type { HandlerContext, PortalCallError } from 'fastify-bitrix24'

type Fields = Record<string, unknown>

const MOST_ITEMS = 1_000
const LONGEST_VALUE = 60
const MOST_CHANGES = 20
/** New with each change, whatever it was. */
const ALWAYS_NEW = /^(updated|moved|lastActivity)(By|Time)$/

/** The last used at the end. It starts empty with each process, and each worker has its own. */
const seen = new Map<string, Fields>()

/** Fetches an item, and describes what has changed in one line. */
export async function changesOf (entityTypeId: number, id: number, { portal, signal }: HandlerContext): Promise<string> {
  if (portal.state === 'webhook') return 'a webhook has no token to ask with'
  try {
    const { item } = await portal.call<{ item: Fields }>('crm.item.get', { entityTypeId, id }, { signal })
    const before = exchange(`${portal.memberId} ${entityTypeId} ${id}`, item)
    return before === undefined ? `${shown(item['title'])}, stage ${shown(item['stageId'])}` : differences(before, item)
  } catch (error) {
    const { code, portalStatus = 500, portalCode, description } = error as PortalCallError
    // A portal that says no, as of an item that is gone, says it again: what is thrown is tried again, and this is not.
    if (code === 'FST_B24_PORTAL_CALL' && portalStatus < 500) return `cannot be read: ${shown(portalCode || description)}`
    throw error
  }
}

function exchange (key: string, item: Fields): Fields | undefined {
  const before = seen.get(key)
  seen.delete(key)
  seen.set(key, item)
  for (const oldest of seen.keys()) {
    if (seen.size <= MOST_ITEMS) break
    seen.delete(oldest)
  }
  return before
}

function differences (before: Fields, after: Fields): string {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(name => !ALWAYS_NEW.test(name))
  const changes = names
    .map(name => [name, shown(before[name]), shown(after[name])] as const)
    .filter(([, old, now]) => old !== now)
  return changes.length === 0 ? 'no change' : changes.slice(0, MOST_CHANGES).map(([name, old, now]) => `${fieldName(name)}: ${old} → ${now}`).join(', ')
}

function fieldName (name: string): string {
  return /^\w{1,60}$/.test(name) ? name : shown(name)
}

/** As JSON, so that no text from a portal moves the cursor. */
function shown (value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, LONGEST_VALUE)
}

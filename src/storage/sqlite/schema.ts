import { FST_B24_STORAGE_LAYOUT } from '../../errors.ts'
import { LAYOUT } from '../storage.ts'
import type { SqliteDatabase } from './database.ts'

/** What `events.state` says: see event-store.ts. Dead letters have a table of their own. */
export const WAITING = 1
export const BLOCKED = 2
export const ACTIVE = 3
export const DELAYED = 4
export const DEFERRED = 5

/** What `groups.class` says. Those whose name begins with `?` are unverified for ever. */
export const RESPONSIVE = 0
export const UNTESTED = 1
export const HUNG = 2
export const UNVERIFIED = 3

// Times are ms of the clock that `Ledger` keeps, but for `failed_at` and those of locks: ms since the epoch.
const SCHEMA = `
CREATE TABLE counters (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  clock INTEGER NOT NULL,           -- the latest time that any process has seen
  seq INTEGER NOT NULL,             -- last of events.seq
  place INTEGER NOT NULL,           -- last of groups.place0 and place1
  death INTEGER NOT NULL,           -- last of dead.place
  arrivals INTEGER NOT NULL,        -- how often an event began to wait
  waiting INTEGER NOT NULL,         -- events in all states but active
  active INTEGER NOT NULL,
  blocked INTEGER NOT NULL,         -- counted in waiting too
  deferred INTEGER NOT NULL,        -- counted in waiting too
  bytes INTEGER NOT NULL,           -- of events of verified groups
  unverified_bytes INTEGER NOT NULL,
  dead INTEGER NOT NULL,
  dead_bytes INTEGER NOT NULL,
  recheck_after INTEGER NOT NULL    -- deferred events behind this seq are still to be checked for whether anybody listens to them; -1: none
) STRICT;

CREATE TABLE groups (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  class INTEGER NOT NULL,
  responsive_at INTEGER NOT NULL DEFAULT 0,   -- when a run ended well
  marked_at INTEGER NOT NULL DEFAULT 0,       -- when a run ended well, or hung
  bytes INTEGER NOT NULL DEFAULT 0,           -- of its events
  dead_bytes INTEGER NOT NULL DEFAULT 0,
  place0 INTEGER,                             -- its turn among groups that have priority events waiting
  place1 INTEGER                              -- its turn among those that have others waiting
) STRICT;
CREATE INDEX groups_place0 ON groups (class, place0) WHERE place0 IS NOT NULL;
CREATE INDEX groups_place1 ON groups (class, place1) WHERE place1 IS NOT NULL;
CREATE INDEX groups_dead ON groups (dead_bytes) WHERE dead_bytes > 0;
CREATE INDEX groups_marked ON groups (class, marked_at) WHERE marked_at > 0;

CREATE TABLE workers (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  lease_ends INTEGER NOT NULL,
  has_turned INTEGER NOT NULL,
  hears_all INTEGER NOT NULL        -- else it listens to the codes in listens
) STRICT;
CREATE INDEX workers_lease ON workers (lease_ends);
CREATE TABLE listens (worker INTEGER NOT NULL, code TEXT NOT NULL, PRIMARY KEY (worker, code)) STRICT, WITHOUT ROWID;
CREATE INDEX listens_code ON listens (code);

CREATE TABLE events (
  seq INTEGER PRIMARY KEY,
  grp INTEGER NOT NULL,
  state INTEGER NOT NULL,
  lane INTEGER NOT NULL,            -- 0: priority, 1: the rest
  due INTEGER NOT NULL DEFAULT 0,
  worker INTEGER,
  is_retry INTEGER NOT NULL DEFAULT 0,
  holds_key INTEGER NOT NULL DEFAULT 0,       -- 1: no other event with its key may start
  attempts INTEGER NOT NULL DEFAULT 0,
  crashes INTEGER NOT NULL DEFAULT 0,
  coalesced INTEGER NOT NULL DEFAULT 1,
  size INTEGER NOT NULL,
  id TEXT NOT NULL,
  code TEXT NOT NULL,
  base TEXT NOT NULL,               -- code without its type
  key TEXT,
  dedup TEXT,
  progress TEXT,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX events_waiting ON events (lane, grp, seq) WHERE state = 1;
CREATE INDEX events_active ON events (worker, seq) WHERE state = 3;
CREATE INDEX events_holder ON events (key) WHERE holds_key = 1 AND key IS NOT NULL;
CREATE INDEX events_blocked ON events (key, seq) WHERE state = 2;
CREATE INDEX events_due ON events (due) WHERE state = 4;
CREATE INDEX events_deferred ON events (seq) WHERE state = 5;
CREATE INDEX events_deferred_code ON events (code, seq) WHERE state = 5;
CREATE INDEX events_deferred_base ON events (base, seq) WHERE state = 5;
CREATE UNIQUE INDEX events_dedup ON events (dedup) WHERE dedup IS NOT NULL AND state <> 3;

CREATE TABLE dead (
  place INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  grp INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  failed_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  coalesced INTEGER NOT NULL,
  size INTEGER NOT NULL,
  code TEXT NOT NULL,
  key TEXT,
  dedup TEXT,
  progress TEXT,
  error TEXT NOT NULL,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX dead_group ON dead (grp, place);

CREATE TABLE installs (member_id TEXT PRIMARY KEY, version INTEGER NOT NULL, install TEXT NOT NULL) STRICT;
CREATE TABLE pending_installs (name TEXT PRIMARY KEY, ends_at INTEGER NOT NULL, record TEXT NOT NULL) STRICT;
CREATE TABLE locks (name TEXT PRIMARY KEY, holder TEXT NOT NULL, ends_at INTEGER NOT NULL, ttl INTEGER NOT NULL) STRICT;
CREATE INDEX locks_ends ON locks (ends_at);

INSERT INTO counters VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1);
PRAGMA user_version = ${LAYOUT};`

/**
 * Makes the tables in a file that has none. To be called inside of a transaction.
 * @throws FST_B24_STORAGE_LAYOUT when there are others
 */
export function prepareSchema (db: SqliteDatabase): void {
  const [layout] = db.get<[number]>('PRAGMA user_version')!
  if (String(layout) === LAYOUT) return
  const isEmpty = layout === 0 && db.get('SELECT 1 FROM sqlite_schema LIMIT 1') === undefined
  if (!isEmpty) throw new FST_B24_STORAGE_LAYOUT(layout, LAYOUT)
  db.exec(SCHEMA)
}

-- What is kept of queues. Times are milliseconds since the epoch on this server's clock, ranks are priorities turned round, so
-- that the least is first. States are numbers, here written as words: those up to LEAVING are live.
--
-- ENTERING and LEAVING are what a caller's transaction makes of a task: it holds no lock of the queue, and the next call on
-- the queue does the rest. HELD_BACK is ready, but not yet the turn of its group.
--
-- What a plain task goes through changes nothing that is indexed, so that its row is changed in place (PostgreSQL calls that a
-- heap-only update): of it, indexes know its ID and its place in the line. Whether it is still there, its row says.

create table holdfast_queue.queues (
  queue int generated always as identity primary key,
  name text collate "C" not null unique,
  -- The last number, fence and failure that were given. Fences rise even after the server's data was lost.
  num bigint not null default 0,
  fence bigint not null default floor(extract(epoch from clock_timestamp()) * 1000000),
  ends bigint not null default 0,
  scheduled bigint not null default 0,
  waiting bigint not null default 0,
  ready bigint not null default 0,
  running bigint not null default 0,
  completed bigint not null default 0,
  failed bigint not null default 0,
  cancelled bigint not null default 0,
  all_added bigint not null default 0,
  all_started bigint not null default 0,
  all_completed bigint not null default 0,
  all_failed bigint not null default 0,
  all_cancelled bigint not null default 0,
  all_retried bigint not null default 0,
  waited_ms bigint not null default 0,
  ran_ms bigint not null default 0,
  paused boolean not null default false,
  -- When something happens by itself next, or before that; and when those who wait will look again.
  next_due bigint not null default 9007199254740991,
  told bigint not null default 0,
  -- When the first lease on a task of the line ends that nobody watches, or before that; and what was locked when it was to be
  -- watched.
  watch_due bigint not null default 9007199254740991,
  unwatched text[] not null default '{}'
) with (fillfactor = 10, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

create sequence holdfast_queue.entries;

create table holdfast_queue.tasks (
  queue int not null,
  id text collate "C" not null,
  state smallint not null,
  rank smallint not null,
  turn bigint not null,
  -- In which order they were added (or redriven), and how they were known first.
  num bigint not null,
  born bigint not null,
  -- In the line since it was added: it was ready then, and has not come back since.
  lined boolean not null default false,
  -- When something happens to it by itself. Of that, its delay or wait ends at wake_at, and it expires at expires_at.
  due bigint,
  wake_at bigint,
  expires_at bigint,
  fence bigint not null default 0,
  attempt int not null default 0,
  failures int not null default 0,
  losses int not null default 0,
  max_attempts int not null,
  max_losses int not null,
  keep_ms bigint not null,
  keep_failed_ms bigint not null,
  added_at bigint not null,
  since bigint not null,
  started_at bigint,
  finished_at bigint,
  -- In which order they failed.
  ended bigint,
  -- The latest event. Those of a flat task are enqueued, started and completed, as far as they go, and not stored.
  seq int not null default 1,
  flat boolean not null default true,
  checkpoints int not null default 0,
  cost int not null,
  open_children int not null default 0,
  -- How its parent was known first, and whether its end counts there.
  parent_born bigint,
  awaited boolean not null default false,
  wait_children boolean,
  -- Completed by a transaction of its worker, which does not know it.
  by_tx boolean,
  group_limit jsonb,
  backoff double precision,
  name text not null,
  worker text,
  dedup_key text collate "C",
  grp text collate "C",
  tenant text collate "C",
  parent text collate "C",
  wait_events text[],
  meta text,
  reason text,
  error text,
  progress text,
  input text,
  input_bytes bytea,
  result text,
  result_bytes bytea,
  -- What indexes look at, and what is not there for a plain task: whether it is ready beside the line; its `due`, where
  -- somebody looks by time, or -1 when it is entering or leaving; its dedup key and group while it is live.
  stray boolean,
  alarm bigint,
  live_key text collate "C",
  live_grp text collate "C",
  primary key (queue, id)
  -- Half of a page is for what becomes of those on it.
) with (fillfactor = 45, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0.1);

-- The line of a rank. Entries behind its head are over, whatever their tasks do.
create index tasks_line on holdfast_queue.tasks (queue, rank, turn, num) where lined;

create index tasks_stray on holdfast_queue.tasks (queue, rank, turn, num) where stray;

create index tasks_alarms on holdfast_queue.tasks (queue, alarm, num) where alarm is not null;

create index tasks_failed on holdfast_queue.tasks (queue, ended) where ended is not null;

create unique index tasks_dedup on holdfast_queue.tasks (queue, live_key) where live_key is not null;

create index tasks_group on holdfast_queue.tasks (queue, live_grp, num) where live_grp is not null;

create index tasks_children on holdfast_queue.tasks (queue, parent, born) where parent is not null;

-- All ended tasks, and no others, in the order in which they are to go, failed ones apart: together those that go together.
create table holdfast_queue.kept (
  queue int not null,
  failed boolean not null,
  due bigint not null,
  num bigint generated always as identity,
  ids text[] not null,
  primary key (queue, failed, due, num)
) with (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.02);

create table holdfast_queue.events (
  queue int not null,
  id text collate "C" not null,
  seq int not null,
  at bigint not null,
  body text not null,
  primary key (queue, id, seq)
) with (autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

create table holdfast_queue.checkpoints (
  queue int not null,
  id text collate "C" not null,
  name text collate "C" not null,
  num int not null,
  value text not null,
  value_bytes bytea,
  primary key (queue, id, name)
) with (autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- Groups with live tasks, or whose bucket is not full: `debt` is what it lacks. A start adds rate_ms to it, a millisecond
-- takes rate_tasks away.
create table holdfast_queue.groups (
  queue int not null,
  name text collate "C" not null,
  concurrency int not null,
  rate_tasks bigint,
  rate_ms bigint,
  debt bigint,
  debt_at bigint,
  due bigint,
  primary key (queue, name)
) with (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.02);

create index groups_due on holdfast_queue.groups (queue, due) where due is not null;

-- The next turn of those tenants of a rank that are ahead of its level, the highest turn that was claimed.
create table holdfast_queue.turns (
  queue int not null,
  rank smallint not null,
  tenant text collate "C" not null,
  turn bigint not null,
  primary key (queue, rank, tenant)
) with (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.02);

-- Partial, though all turns here are above 0, lest a tenant be looked for with it.
create index turns_first on holdfast_queue.turns (queue, rank, turn) where turn > 0;

create table holdfast_queue.levels (
  queue int not null,
  rank smallint not null,
  turn bigint not null,
  -- How many of its rank are in `turns`.
  tenants bigint not null default 0,
  -- Of its line: which was claimed last, and up to which all that run are watched.
  head_turn bigint not null default -1,
  head_num bigint not null default 0,
  tail_turn bigint not null default -1,
  tail_num bigint not null default 0,
  primary key (queue, rank)
) with (fillfactor = 10, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

-- What cancels have taken from workers that have not heard of it.
create table holdfast_queue.revoked (
  queue int not null,
  worker text collate "C" not null,
  num bigint generated always as identity,
  id text not null,
  fence bigint not null,
  reason text not null,
  primary key (queue, worker, num)
) with (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.02);

-- Who waits: for work, or for events of a task. Lost with the server, which all who wait notice.
create unlogged table holdfast_queue.waits (
  queue int not null,
  kind text collate "C" not null,
  id text collate "C" not null,
  woken boolean not null default false,
  primary key (queue, kind, id)
) with (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.02);

create table holdfast_queue.schedules (
  queue int not null,
  key text collate "C" not null,
  text text not null,
  next_at bigint not null,
  primary key (queue, key)
) with (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.02);

create function holdfast_queue.now_ms() returns bigint language sql volatile as $$
  select floor(extract(epoch from clock_timestamp()) * 1000)::bigint
$$;

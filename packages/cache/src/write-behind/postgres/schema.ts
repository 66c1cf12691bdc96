// The table of a write log and the verbs as functions beside it. The rules are those of log-table.ts.
import type { Migration, TableName } from "@holdfast/core/postgres";

/**
 * What the log needs. Keys are found by their digest, since they may be longer than what an index takes. The functions
 * take the time after they have a row's lock.
 */
export function writeLogMigrations(table: TableName): readonly Migration[] {
  return [
    {
      name: `write-log:${table.name}:1`,
      statements: [
        ...tables(table),
        append(table),
        claim(table),
        renew(table),
        settle(table),
        redrive(table),
      ],
    },
  ];
}

/** States: fresh (not tried), waiting (tried), held (by a claim), dead. */
function tables({ quoted, beside, index }: TableName): readonly string[] {
  return [
    `create sequence ${beside("numbers")} maxvalue ${Number.MAX_SAFE_INTEGER}`,
    `create table ${quoted} (
       log text not null,
       digest bytea not null,
       key text not null,
       value text not null,
       version bigint not null,
       since bigint not null,
       state text not null check (state in ('fresh', 'waiting', 'held', 'dead')),
       due_at timestamptz not null,
       fence bigint not null,
       attempts int not null,
       error text not null,
       died_at timestamptz not null,
       primary key (log, digest)
     )`,
    `create index ${index("due")} on ${quoted} (log, due_at) where state <> 'dead'`,
    `create index ${index("since")} on ${quoted} (log, since) where state <> 'dead'`,
    `create index ${index("dead")} on ${quoted} (log, died_at) where state = 'dead'`,
    `create function ${beside("digest")}(key text) returns bytea language sql immutable as $$
       select sha256(convert_to(key, 'UTF8'))
     $$`,
  ];
}

// What is there is changed in place; only a key that is not there is counted. Of two that append a key at a time, the one
// that comes second waits for the first.
function append({ quoted, beside }: TableName): string {
  return `create function ${beside("append")}(
    the_log text, the_key text, the_value text, delay_ms bigint, max_keys bigint, wait_ms int,
    out its_version bigint, out keys bigint
  ) language plpgsql set lock_timeout = '2s' as $$
  #variable_conflict use_column
  declare
    its_digest bytea := ${beside("digest")}(the_key);
  begin
    perform set_config('lock_timeout', wait_ms || 'ms', true);
    for attempt in 1..10 loop
      update ${quoted} t set
        value = the_value,
        version = nextval('${beside("numbers")}'),
        attempts = 0,
        since = case when t.state = 'dead' then currval('${beside("numbers")}') else t.since end,
        due_at = case when t.state = 'dead' then clock_timestamp() + delay_ms * interval '1 ms' else t.due_at end,
        error = case when t.state = 'dead' then '' else t.error end,
        state = case when t.state = 'dead' then 'fresh' else t.state end
      where t.log = the_log and t.digest = its_digest
      returning t.version into its_version;
      if found then
        return;
      end if;
      select count(*) into keys from (select 1 from ${quoted} t where t.log = the_log limit max_keys) rows;
      if keys >= max_keys then
        return;
      end if;
      its_version := nextval('${beside("numbers")}');
      insert into ${quoted} values (the_log, its_digest, the_key, the_value, its_version, its_version, 'fresh',
        clock_timestamp() + delay_ms * interval '1 ms', 0, 0, '', '-infinity') on conflict do nothing;
      if found then
        return;
      end if;
    end loop;
    raise lock_not_available using message = 'the key changes all the time';
  end
  $$`;
}

function claim({ quoted, beside }: TableName): string {
  return `create function ${beside("claim")}(the_log text, max_rows int, lease_ms bigint, early boolean)
  returns table (key text, value text, version bigint, fence bigint, attempts int)
  language sql as $$
    with due as materialized (
      select t.digest, t.due_at from ${quoted} t
      where t.log = the_log and t.state <> 'dead'
        and (t.due_at <= clock_timestamp() or (early and t.state = 'fresh'))
      order by t.due_at limit max_rows
      for update skip locked
    ), taken as (
      update ${quoted} t set
        state = 'held', fence = nextval('${beside("numbers")}'), attempts = t.attempts + 1,
        due_at = clock_timestamp() + lease_ms * interval '1 ms'
      from due where t.log = the_log and t.digest = due.digest
      returning t.key, t.value, t.version, t.fence, t.attempts, due.due_at as was_due_at
    )
    select taken.key, taken.value, taken.version, taken.fence, taken.attempts from taken order by taken.was_due_at
  $$`;
}

function renew({ quoted, beside }: TableName): string {
  return `create function ${beside("renew")}(the_log text, lease_ms bigint, claims jsonb, wait_ms int)
  returns setof text language plpgsql set lock_timeout = '2s' as $$
  declare
    c record;
  begin
    perform set_config('lock_timeout', wait_ms || 'ms', true);
    for c in select * from jsonb_to_recordset(claims) as x(key text, fence bigint) loop
      update ${quoted} t set due_at = clock_timestamp() + lease_ms * interval '1 ms'
        where t.log = the_log and t.digest = ${beside("digest")}(c.key) and t.state = 'held' and t.fence = c.fence;
      return next case when found then 'ok' else 'lost' end;
    end loop;
  end
  $$`;
}

function settle({ quoted, beside }: TableName): string {
  return `create function ${beside("settle")}(the_log text, settlements jsonb, wait_ms int)
  returns setof text language plpgsql set lock_timeout = '2s' as $$
  declare
    s record;
    r ${quoted};
    newest boolean;
    tries int;
  begin
    perform set_config('lock_timeout', wait_ms || 'ms', true);
    for s in select * from jsonb_to_recordset(settlements) as x(
      key text, fence bigint, version bigint, kind text, "delayMs" bigint, counts boolean, error text
    ) loop
      select * into r from ${quoted} t
        where t.log = the_log and t.digest = ${beside("digest")}(s.key) and t.state = 'held' and t.fence = s.fence
        for update;
      if not found then
        return next 'lost';
        continue;
      end if;
      newest := r.version = s.version;
      tries := r.attempts - case
        when newest and (s.kind = 'released' or (s.kind = 'failed' and not s.counts)) then 1 else 0 end;
      if s.kind = 'written' and newest then
        delete from ${quoted} t where t.log = the_log and t.digest = r.digest;
      elsif s.kind = 'written' then
        update ${quoted} t set state = 'fresh', due_at = clock_timestamp(), since = r.version
          where t.log = the_log and t.digest = r.digest;
      elsif s.kind = 'failed' then
        update ${quoted} t set
          state = 'waiting', due_at = clock_timestamp() + s."delayMs" * interval '1 ms', attempts = tries,
          error = case when newest then s.error else r.error end
        where t.log = the_log and t.digest = r.digest;
      elsif s.kind = 'dead' and newest then
        update ${quoted} t set state = 'dead', died_at = clock_timestamp(), error = s.error
          where t.log = the_log and t.digest = r.digest;
      else
        update ${quoted} t set
          state = case when tries > 0 then 'waiting' else 'fresh' end, due_at = clock_timestamp(), attempts = tries
        where t.log = the_log and t.digest = r.digest;
      end if;
      return next 'ok';
    end loop;
  end
  $$`;
}

function redrive({ quoted, beside }: TableName): string {
  return `create function ${beside("redrive")}(the_log text, keys text[], wait_ms int) returns bigint
  language plpgsql set lock_timeout = '2s' as $$
  #variable_conflict use_column
  declare
    count bigint;
  begin
    perform set_config('lock_timeout', wait_ms || 'ms', true);
    update ${quoted} t set
      state = 'fresh', due_at = clock_timestamp(), attempts = 0, error = '',
      version = nextval('${beside("numbers")}'), since = currval('${beside("numbers")}')
    where t.log = the_log and t.state = 'dead'
      and (keys is null or t.digest in (select ${beside("digest")}(k) from unnest(keys) k));
    get diagnostics count = row_count;
    return count;
  end
  $$`;
}

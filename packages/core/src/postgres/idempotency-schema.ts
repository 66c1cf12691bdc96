// The table of idempotency keys and the verbs as functions beside it. The rules are those of idempotency/record.ts.
import type { Migration } from "./migrate.ts";
import type { TableName } from "./table-name.ts";

/**
 * What the store needs. The functions have all of their rules in the database, so that a verb is one statement, and
 * take the time after they have the row's lock.
 */
export function idempotencyMigrations(table: TableName): readonly Migration[] {
  return [
    { name: `idempotency:${table.name}:1`, statements: [...tables(table), begin(table), ...writes(table)] },
  ];
}

function tables({ quoted, beside, index }: TableName): readonly string[] {
  return [
    `create sequence ${beside("fences")} maxvalue ${Number.MAX_SAFE_INTEGER}`,
    `create table ${quoted} (
       scope text not null,
       key text not null,
       fingerprint text not null,
       state text not null check (state in ('held', 'open', 'done')),
       fence bigint not null,
       owner text not null,
       locked_until timestamptz not null,
       expires_at timestamptz not null,
       ttl_ms bigint not null,
       doubt boolean not null,
       point_name text,
       point_data text,
       result text,
       primary key (scope, key)
     )`,
    `create index ${index("expires_at")} on ${quoted} (expires_at)`,
    `create function ${beside("remembered")}(r ${quoted}, now timestamptz) returns boolean language sql immutable as $$
       select now < r.expires_at or (r.state = 'held' and now < r.locked_until)
     $$`,
  ];
}

// Looks without a lock first when somebody has it: what is committed may be answer enough. Only a key that is open
// or whose lock has run out while somebody writes it is waited for, and no longer than wait_ms.
function begin({ quoted, beside }: TableName): string {
  return `create function ${beside("begin")}(
    the_scope text, the_key text, the_fingerprint text, the_owner text,
    lock_ms bigint, ttl bigint, take_doubtful boolean, wait_ms int,
    out kind text, out its_fence bigint, out retry_after_ms bigint, out in_doubt boolean,
    out its_point text, out its_data text, out its_result text
  ) language plpgsql set lock_timeout = '2s' as $$
  #variable_conflict use_column
  declare
    r ${quoted};
    now timestamptz;
    known boolean;
    locked boolean;
  begin
    perform set_config('lock_timeout', wait_ms || 'ms', true);
    for attempt in 1..10 loop
      locked := true;
      select * into r from ${quoted} t where t.scope = the_scope and t.key = the_key for update skip locked;
      if not found then
        locked := false;
        select * into r from ${quoted} t where t.scope = the_scope and t.key = the_key;
        if not found then
          insert into ${quoted} values (the_scope, the_key, the_fingerprint, 'open', 0, '',
            '-infinity', '-infinity', ttl, false, null, null, null) on conflict do nothing;
          continue;
        end if;
      end if;
      now := clock_timestamp();
      known := ${beside("remembered")}(r, now);
      if known and r.fingerprint <> the_fingerprint then
        kind := 'mismatch';
        return;
      elsif known and r.state = 'done' then
        kind := 'replay';
        its_result := r.result;
        return;
      elsif known and r.state = 'held' and now < r.locked_until then
        if r.owner = the_owner then
          kind := 'acquired';
          its_fence := r.fence;
          in_doubt := r.doubt;
          its_point := r.point_name;
          its_data := r.point_data;
        else
          kind := 'inFlight';
          retry_after_ms := ceil(extract(epoch from r.locked_until - now) * 1000);
        end if;
        return;
      end if;
      exit when locked;
      begin
        perform 1 from ${quoted} t where t.scope = the_scope and t.key = the_key for update;
      exception when lock_not_available then
        kind := 'inFlight';
        retry_after_ms := wait_ms;
        return;
      end;
    end loop;
    if not locked then
      raise lock_not_available using message = 'the key changes all the time';
    end if;
    known := ${beside("remembered")}(r, now);
    in_doubt := known and r.point_name is null and (r.doubt or r.state = 'held');
    if in_doubt and not take_doubtful then
      kind := 'inDoubt';
      its_fence := r.fence;
      return;
    end if;
    kind := 'acquired';
    its_fence := nextval('${beside("fences")}');
    if known then
      its_point := r.point_name;
      its_data := r.point_data;
    end if;
    update ${quoted} t set
      fingerprint = the_fingerprint, state = 'held', fence = its_fence, owner = the_owner,
      locked_until = now + lock_ms * interval '1 ms', expires_at = now + ttl * interval '1 ms', ttl_ms = ttl,
      doubt = in_doubt, point_name = its_point, point_data = its_data, result = null
    where t.scope = the_scope and t.key = the_key;
  end
  $$`;
}

function writes(table: TableName): readonly string[] {
  const renewal =
    "expires_at = now + r.ttl_ms * interval '1 ms', locked_until = now + lock_ms * interval '1 ms'";
  return [
    write(table, "renew", { parameters: "lock_ms bigint", set: renewal, waits: false }),
    write(table, "checkpoint", {
      parameters: "lock_ms bigint, its_point text, its_data text",
      set: `${renewal}, point_name = its_point, point_data = its_data, doubt = false`,
    }),
    write(table, "complete", {
      parameters: "ttl bigint, its_result text",
      settled: "done",
      set: `state = 'done', result = its_result, point_name = null, point_data = null, doubt = false, ttl_ms = ttl,
        expires_at = now + ttl * interval '1 ms'`,
    }),
    write(table, "fail", {
      parameters: "retryable boolean",
      settled: "open",
      set: "state = 'open', doubt = r.doubt or not retryable, expires_at = now + r.ttl_ms * interval '1 ms'",
    }),
    `create function ${table.beside("release")}(the_scope text, the_key text, the_owner text, wait_ms int)
      returns void language plpgsql set lock_timeout = '2s' as $$
    begin
      perform set_config('lock_timeout', wait_ms || 'ms', true);
      update ${table.quoted} t set state = 'open'
        where t.scope = the_scope and t.key = the_key and t.state = 'held' and t.owner = the_owner;
    end
    $$`,
  ];
}

interface Write {
  readonly parameters: string;
  readonly set: string;
  /** The state in which the same write by the same fence has been done already. */
  readonly settled?: "open" | "done";
  /** Whether it waits for whoever has the row locked. */
  readonly waits?: boolean;
}

function write(
  { quoted, beside }: TableName,
  verb: string,
  { parameters, set, settled, waits }: Write,
): string {
  const row = `${quoted} t where t.scope = the_scope and t.key = the_key`;
  const busy = `if not found and exists (select 1 from ${row}) then
      answer := 'busy';
      return;
    end if;`;
  const done = `if r.state = '${settled}' then
      answer := 'ok';
      return;
    end if;`;
  return `create function ${beside(verb)}(
    the_scope text, the_key text, the_fence bigint, ${parameters}, wait_ms int, out answer text
  ) language plpgsql set lock_timeout = '2s' as $$
  #variable_conflict use_column
  declare
    r ${quoted};
    now timestamptz;
  begin
    perform set_config('lock_timeout', wait_ms || 'ms', true);
    select * into r from ${row} for update${waits === false ? " skip locked" : ""};
    ${waits === false ? busy : ""}
    now := clock_timestamp();
    answer := 'lost';
    if r.fence is distinct from the_fence or not ${beside("remembered")}(r, now) then
      return;
    end if;
    ${settled === undefined ? "" : done}
    if r.state = 'held' then
      update ${quoted} t set ${set} where t.scope = the_scope and t.key = the_key;
      answer := 'ok';
    end if;
  end
  $$`;
}

-- New tasks.

-- The turn of a task that is added now, whose tenant's next one is so much later.
create function holdfast_queue.take_turn(the_queue int, the_rank int, the_tenant text, the_cost int) returns bigint
  language plpgsql as $$
#variable_conflict use_column
declare
  level bigint := coalesce((select turn from holdfast_queue.levels where queue = the_queue and rank = the_rank), 0);
  following bigint;
begin
  update holdfast_queue.turns set turn = greatest(turn, level) + the_cost
    where queue = the_queue and rank = the_rank and tenant = coalesce(the_tenant, '') returning turn into following;
  if not found then
    following := level + the_cost;
    insert into holdfast_queue.turns (queue, rank, tenant, turn)
      values (the_queue, the_rank, coalesce(the_tenant, ''), following);
    insert into holdfast_queue.levels as l (queue, rank, turn, tenants) values (the_queue, the_rank, 0, 1)
      on conflict (queue, rank) do update set tenants = l.tenants + 1;
    perform holdfast_queue.limit_tenants(the_queue, the_rank);
  end if;
  return following - the_cost;
end
$$;

-- When more tenants are ahead than are remembered, the level rises to the first of them.
create function holdfast_queue.limit_tenants(the_queue int, the_rank int) returns void language plpgsql as $$
#variable_conflict use_column
declare
  l holdfast_queue.levels;
begin
  select * into l from holdfast_queue.levels where queue = the_queue and rank = the_rank;
  if l.tenants <= MAX_TENANTS then
    return;
  end if;
  -- Those that are not ahead any more are there until somebody looks.
  perform holdfast_queue.forget_turns_over(the_queue);
  update holdfast_queue.levels set turn = greatest(turn, (select turn from holdfast_queue.turns
      where queue = the_queue and rank = the_rank and turn > 0 order by turn limit 1))
    where queue = the_queue and rank = the_rank and tenants > MAX_TENANTS;
  if found then
    perform holdfast_queue.forget_turns_over(the_queue);
  end if;
end
$$;

-- Tenants whose next turn is over are as new ones.
create function holdfast_queue.forget_turns_over(the_queue int) returns void language plpgsql as $$
#variable_conflict use_column
begin
  with gone as (
    delete from holdfast_queue.turns f using holdfast_queue.levels l
      where f.queue = the_queue and l.queue = the_queue and f.rank = l.rank and f.turn <= l.turn and f.turn > 0
      returning f.rank
  )
  update holdfast_queue.levels l set tenants = l.tenants - g.tenants
    from (select rank, count(*) as tenants from gone group by rank) g where l.queue = the_queue and l.rank = g.rank;
end
$$;

-- The turns of new tasks, one after the other: the level may rise in between.
create function holdfast_queue.take_turns(the_queue int, the_kinds jsonb, the_kind int[], answers text[]) returns bigint[]
  language plpgsql as $$
declare
  turns bigint[] := '{}';
  k jsonb;
begin
  for place in 1..cardinality(the_kind) loop
    k := the_kinds -> the_kind[place] - 1;
    turns := turns || case when answers is null or answers[place] = '0' then
      holdfast_queue.take_turn(the_queue, -(k ->> 'priority')::int, k ->> 'tenant', (k ->> 'cost')::int) end;
  end loop;
  return turns;
end
$$;

-- When no task is live, turns begin anew, for all alike: at the last one that was given. Nothing in the lines is before that.
create function holdfast_queue.forget_turns(the_queue int) returns void language plpgsql as $$
#variable_conflict use_column
begin
  if exists (select from holdfast_queue.queues where queue = the_queue and scheduled + waiting + ready + running = 0) then
    update holdfast_queue.levels l
      set tenants = 0, turn = f.turn, head_turn = f.turn, head_num = f.num, tail_turn = f.turn, tail_num = f.num
      from (
        select k.rank, greatest(k.turn, max(o.turn)) as turn, q.num
          from holdfast_queue.levels k join holdfast_queue.queues q on q.queue = k.queue
            left join holdfast_queue.turns o on o.queue = k.queue and o.rank = k.rank
          where k.queue = the_queue and k.tenants > 0 group by k.rank, k.turn, q.num
      ) f
      where l.queue = the_queue and l.rank = f.rank;
    delete from holdfast_queue.turns where queue = the_queue;
  end if;
end
$$;

-- What becomes of new tasks, each in its turn: 0 when it is new, 1 when its ID is taken, 2 when it has no parent; else the ID
-- of the live task that has its dedup key.
create function holdfast_queue.judge(
  the_queue int, the_ids text[], the_keys text[], the_parents text[]
) returns text[] language plpgsql as $$
#variable_conflict use_column
declare
  answers text[] := '{}';
  fresh text[] := '{}';
  fresh_keys text[] := '{}';
  holders text[] := '{}';
  holder text;
  its_id text;
  key text;
  its_parent text;
begin
  for place in 1..cardinality(the_ids) loop
    its_id := the_ids[place];
    key := the_keys[place];
    its_parent := the_parents[place];
    holder := null;
    if its_id = any(fresh) or exists (select from holdfast_queue.tasks t where t.queue = the_queue and t.id = its_id) then
      answers := answers || '1'::text;
      continue;
    end if;
    if key is not null then
      holder := holders[array_position(fresh_keys, key)];
      if holder is null then
        select t.id into holder from holdfast_queue.tasks t
          where t.queue = the_queue and t.live_key = key;
      end if;
    end if;
    if holder is not null then
      answers := answers || ('=' || holder);
      continue;
    end if;
    if its_parent is not null and not its_parent = any(fresh) and not exists (
      select from holdfast_queue.tasks t where t.queue = the_queue and t.id = its_parent and t.state between ENTERING and LEAVING
    ) then
      answers := answers || '2'::text;
      continue;
    end if;
    answers := answers || '0'::text;
    fresh := fresh || its_id;
    if key is not null then
      fresh_keys := fresh_keys || key;
      holders := holders || its_id;
    end if;
  end loop;
  return answers;
end
$$;

-- Adds all tasks, or none if that would be more than the limit. What many have in common is said once, as a kind. A caller
-- who says that they are distinct knows that they have neither IDs nor dedup keys in common, nor parents.
-- Answers '0' when all are new, how many are live when there is no room, or what became of each.
-- Lists come as text, which all clients send alike.
create function holdfast_queue.enqueue(
  the_name text, the_max_events int, the_wait_ms int, enters boolean, the_limit bigint, are_distinct boolean, kinds text,
  ids text, kind text, inputs text, bytes text, keys text, metas text
) returns text language plpgsql
  set lock_timeout = '1s' set enable_seqscan = off set enable_bitmapscan = off set jit = off
  set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  the_kinds jsonb := kinds::jsonb;
  the_ids text[] := ids::text[];
  the_kind int[] := kind::int[];
  the_inputs text[] := inputs::text[];
  the_bytes text[] := bytes::text[];
  the_keys text[] := keys::text[];
  the_metas text[] := metas::text[];
  q holdfast_queue.queues;
  now bigint;
  answers text[];
  fresh bigint := cardinality(the_ids);
  live bigint;
  is_judged boolean;
  the_turns bigint[];
begin
  q := holdfast_queue.open(the_name, the_max_events, the_wait_ms, not enters);
  now := holdfast_queue.now_ms();
  live := q.scheduled + q.waiting + q.ready + q.running;
  -- Those that are distinct are mostly new, too, which the indexes find out as they are added. Not so when the first one is
  -- there, or one of the keys: then the rest may be as well.
  is_judged := not are_distinct
    or exists (select from holdfast_queue.tasks t where t.queue = q.queue and t.id = the_ids[1])
    or (the_keys is not null and (select bool_or((select true from holdfast_queue.tasks t where t.queue = q.queue
        and t.live_key = k.key))
      from unnest(the_keys) k(key)));
  loop
    is_judged := is_judged or live + fresh > the_limit;
    if is_judged then
      answers := holdfast_queue.judge(q.queue, the_ids, the_keys, array(
        select the_kinds -> k - 1 ->> 'parent' from unnest(the_kind) with ordinality as u(k, place) order by place));
      fresh := (select count(*) from unnest(answers) a where a = '0');
      if fresh > 0 and live + fresh > the_limit then
        return '{"live":' || live || '}';
      end if;
    end if;
    exit when fresh = 0;
    begin
      if not enters
        and (select max(tenants) from holdfast_queue.levels where queue = q.queue) + jsonb_array_length(the_kinds) > MAX_TENANTS
      then
        the_turns := holdfast_queue.take_turns(q.queue, the_kinds, the_kind, answers);
      end if;
      perform holdfast_queue.add(q, now, enters, the_kinds, the_ids, the_kind, the_inputs, the_bytes, the_keys, the_metas,
        answers, the_turns);
      exit;
    exception when unique_violation then
      -- What was judged has met another transaction that adds the same: its caller tries again, in a transaction of its own.
      if is_judged and not enters then
        raise;
      end if;
      -- One that goes on seeing what it saw at first does not see that either.
      if current_setting('transaction_isolation') <> 'read committed' then
        raise serialization_failure using message = 'another transaction has added the same ID or dedup key';
      end if;
      is_judged := true;
    end;
  end loop;
  if enters then
    perform pg_notify(holdfast_queue.channel(), json_build_array(the_name, false, true, null, null)::text);
  else
    perform holdfast_queue.close(q.queue, now);
  end if;
  return coalesce(array_to_json(answers)::text, '0');
end
$$;

create function holdfast_queue.add(
  q holdfast_queue.queues, now bigint, enters boolean, the_kinds jsonb,
  the_ids text[], the_kind int[], the_inputs text[], the_bytes text[], the_keys text[], the_metas text[], answers text[],
  the_turns bigint[]
) returns void language plpgsql as $$
#variable_conflict use_column
declare
  n record;
  g record;
begin
  with kinds as materialized (
    select k.*, (-k.priority)::smallint as rank, coalesce(k.tenant, '') as whose from rows from (jsonb_to_recordset(the_kinds) as (
      name text, delay bigint, priority int, attempts int, losses int, keep bigint, keep_failed bigint, expire bigint,
      grp text, "limit" jsonb, tenant text, cost int, parent text, waits boolean
    )) with ordinality k(name, delay, priority, attempts, losses, keep, keep_failed, expire, grp, said, tenant, cost, parent,
      waits, kind)
  ), starts as materialized (
    select rank, whose,
      coalesce((select l.turn from holdfast_queue.levels l where l.queue = q.queue and l.rank = k.rank), 0) as level,
      (select f.turn from holdfast_queue.turns f where f.queue = q.queue and f.rank = k.rank and f.tenant = k.whose) as following
      from (select distinct rank, whose from kinds) k
  ), given as materialized (
    -- Apart from what they bring, which is much to carry through two sorts.
    select u.place, k.kind, k.parent, coalesce(the_turns[u.place],
        greatest(s.level, s.following) + sum(k.cost) over (partition by k.rank, k.whose order by u.place) - k.cost) as turn,
      case when enters then nextval('holdfast_queue.entries') else q.num + row_number() over (order by u.place) end as num
    from unnest(the_kind) with ordinality u(number, place) join kinds k on k.kind = u.number
      join starts s on s.rank = k.rank and s.whose = k.whose
    where answers is null or answers[u.place] = '0'
  ), families as (
    select parent, count(*) as children from given where parent is not null group by parent
  ), placed as (
    select u.*, k.*, v.turn, v.num, case when enters then ENTERING when f.children > 0 and k.waits then WAITING
        when k.delay > 0 and k.waits is not true then SCHEDULED
        when k.grp is not null then HELD_BACK else READY end as state
    from unnest(the_ids, the_inputs, the_bytes, the_keys, the_metas) with ordinality as u(id, input, bytes, dedup, meta, place)
      join given v on v.place = u.place join kinds k on k.kind = v.kind left join families f on f.parent = u.id
  ), added as (
    insert into holdfast_queue.tasks (queue, id, state, rank, turn, num, born, lined, due, wake_at, expires_at, max_attempts, max_losses,
      keep_ms, keep_failed_ms, added_at, since, cost, wait_children, group_limit, name, dedup_key, grp,
      tenant, parent, meta, input, input_bytes, alarm, live_key, live_grp)
    select q.queue, id, state, rank, turn, num, num, state = READY,
      case state when ENTERING then null when SCHEDULED then least(now + delay, now + expire) else now + expire end,
      case when state in (SCHEDULED, ENTERING) and delay > 0 then now + delay end, now + expire, attempts, losses,
      keep, keep_failed, now, case when waits then now else now + delay end, cost,
      case when state in (WAITING, ENTERING) then waits end, said, name, dedup, grp, tenant,
      parent, meta, input, decode(bytes, 'base64'),
      case state when ENTERING then -1 when SCHEDULED then least(now + delay, now + expire) else now + expire end, dedup,
      case when state <> ENTERING then grp end
    from placed
    returning rank, tenant, turn, cost, state, parent, grp, due
  ), ahead as (
    insert into holdfast_queue.turns as f (queue, rank, tenant, turn)
      select q.queue, rank, coalesce(tenant, ''), max(turn + cost) from added
        where state <> ENTERING and the_turns is null group by 2, 3
      on conflict (queue, rank, tenant) do update set turn = excluded.turn
      -- Rows that were there have been locked by then.
      returning rank, xmax = 0 as is_new
  ), newcomers as (
    insert into holdfast_queue.levels as l (queue, rank, turn, tenants)
      select q.queue, rank, 0, count(*) from ahead where is_new group by rank
      on conflict (queue, rank) do update set tenants = l.tenants + excluded.tenants
  )
  select count(*) as tasks, count(*) filter (where state = SCHEDULED) as scheduled,
    count(*) filter (where state = WAITING) as waiting, count(*) filter (where state in (READY, HELD_BACK)) as ready,
    count(parent) as children, count(grp) as grouped, min(due) as due
    into n from added;
  if enters then
    return;
  end if;
  update holdfast_queue.queues set num = num + n.tasks, all_added = all_added + n.tasks, scheduled = scheduled + n.scheduled,
    waiting = waiting + n.waiting, ready = ready + n.ready, next_due = least(next_due, n.due)
    where queue = q.queue;
  if n.children > 0 then
    with born as (
      update holdfast_queue.tasks c set awaited = true,
          parent_born = (select p.born from holdfast_queue.tasks p where p.queue = q.queue and p.id = c.parent)
        where c.queue = q.queue and c.parent is not null
          and c.id = any(array(select i.id from unnest(the_ids, answers) i(id, answer) where coalesce(i.answer, '0') = '0'))
        returning c.parent as id
    )
    update holdfast_queue.tasks p set open_children = open_children + b.n
      from (select id, count(*) as n from born group by id) b where p.queue = q.queue and p.id = b.id;
  end if;
  if n.grouped > 0 then
    for g in
      select k ->> 'grp' as name, array_agg(k -> 'limit' order by u.place) filter (where k ? 'limit') as said
      from unnest(the_kind) with ordinality u(kind, place), lateral (select the_kinds -> u.kind - 1 as k) x
      where (answers is null or answers[u.place] = '0') and k ->> 'grp' is not null group by 1 order by 1
    loop
      perform holdfast_queue.limit_group(q.queue, g.name, g.said[1], now);
      -- What is said in between counts too: a bucket that was not there for a moment owes nothing.
      for place in 2..coalesce(cardinality(g.said), 0) loop
        if g.said[place] <> g.said[place - 1] then
          perform holdfast_queue.limit_group(q.queue, g.name, g.said[place], now);
        end if;
      end loop;
      perform holdfast_queue.regroup(q.queue, g.name, now);
    end loop;
  end if;
end
$$;

-- Adds tasks that transactions have put there.
create function holdfast_queue.take_in(the_queue int, the_ids text[], now bigint) returns void language plpgsql as $$
#variable_conflict use_column
declare
  t holdfast_queue.tasks;
  entered text;
begin
  foreach entered in array the_ids loop
    select * into t from holdfast_queue.tasks where queue = the_queue and id = entered;
    update holdfast_queue.queues set num = num + 1, all_added = all_added + 1 where queue = the_queue returning num into t.num;
    t.turn := holdfast_queue.take_turn(the_queue, t.rank, t.tenant, t.cost);
    if t.parent is not null then
      update holdfast_queue.tasks set open_children = open_children + 1
        where queue = the_queue and id = t.parent and state between ENTERING and LEAVING returning born into t.parent_born;
      t.awaited := found;
    end if;
    if t.grp is not null then
      perform holdfast_queue.limit_group(the_queue, t.grp, t.group_limit, now);
    end if;
    if t.wait_children and exists (select from holdfast_queue.tasks
      where queue = the_queue and parent = t.id and parent is not null and id = any(the_ids) and state = ENTERING)
    then
      perform holdfast_queue.put_off(t, WAITING, null, now);
    elsif t.wake_at > now and t.wait_children is not true then
      perform holdfast_queue.put_off(t, SCHEDULED, t.wake_at, now);
    else
      perform holdfast_queue.make_ready(t, now);
    end if;
  end loop;
end
$$;

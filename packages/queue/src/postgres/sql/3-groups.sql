-- Which tasks of a group may run.

-- Sees to it that of the first live tasks of a group, as many as may run at a time, those that are ready can be claimed, as
-- far as there are tokens; and no others.
create function holdfast_queue.regroup(the_queue int, the_group text, now bigint) returns void language plpgsql as $$
#variable_conflict use_column
declare
  g holdfast_queue.groups;
  room bigint := 2147483647;
  live int;
  able int;
begin
  select * into g from holdfast_queue.groups where queue = the_queue and name = the_group;
  if not found then
    return;
  end if;
  if g.rate_tasks is not null then
    -- What happened by itself may be told late.
    now := greatest(now, g.debt_at);
    g.debt := holdfast_queue.debt_at(g, now);
    g.debt_at := now;
    room := (g.rate_tasks * g.rate_ms - g.debt) / g.rate_ms;
  end if;
  with first as materialized (
    select id, state, rank, turn, num from holdfast_queue.tasks
      where queue = the_queue and live_grp = the_group
      order by num limit g.concurrency
  ), chosen as (
    select id from first where state in (READY, HELD_BACK) order by rank, turn, num limit room
  ), changed as (
    update holdfast_queue.tasks t set state = case when c.id is null then HELD_BACK else READY end, stray = case when c.id is not null then true end
      from first f left join chosen c on c.id = f.id
      where t.queue = the_queue and t.id = f.id and f.state = case when c.id is null then READY else HELD_BACK end
  )
  select count(*), count(*) filter (where state in (READY, HELD_BACK)) into live, able from first;
  if live = 0 and (g.rate_tasks is null or g.debt = 0) then
    delete from holdfast_queue.groups where queue = the_queue and name = the_group;
  elsif g.rate_tasks is not null then
    -- The next token that somebody waits for; with nobody there, when the bucket is full.
    g.due := case
      when live = 0 then now + (g.debt + g.rate_tasks - 1) / g.rate_tasks
      when able > room then now + (g.debt + (room + 1) * g.rate_ms - g.rate_tasks * g.rate_ms + g.rate_tasks - 1) / g.rate_tasks
    end;
    update holdfast_queue.queues set next_due = g.due where queue = the_queue and next_due > g.due;
    update holdfast_queue.groups set debt = g.debt, debt_at = g.debt_at, due = g.due
      where queue = the_queue and name = the_group;
  end if;
end
$$;

create function holdfast_queue.regroup_all(the_queue int, the_groups text[], now bigint) returns void language plpgsql as $$
declare
  the_group text;
begin
  if the_groups is null then
    return;
  end if;
  for the_group in select distinct g from unnest(the_groups) g where g is not null order by g loop
    perform holdfast_queue.regroup(the_queue, the_group, now);
  end loop;
end
$$;

-- Of no group, or of one whose tasks may start as fast as they can.
create function holdfast_queue.has_no_rate(the_queue int, the_group text) returns boolean language sql stable as $$
  select the_group is null
    or not exists (select from holdfast_queue.groups where queue = the_queue and name = the_group and rate_tasks is not null)
$$;

-- What a group's bucket lacks now.
create function holdfast_queue.debt_at(g holdfast_queue.groups, now bigint) returns bigint language sql immutable as $$
  select greatest(0, g.debt - (now - g.debt_at) * g.rate_tasks)
$$;

-- Notes what was said of a group, for all its tasks; nothing may have been said.
create function holdfast_queue.limit_group(the_queue int, the_group text, the_limit jsonb, now bigint)
  returns void language plpgsql as $$
#variable_conflict use_column
declare
  g holdfast_queue.groups;
  tasks bigint := the_limit -> 'rate' ->> 'tasks';
  ms bigint := the_limit -> 'rate' ->> 'perMs';
begin
  select * into g from holdfast_queue.groups where queue = the_queue and name = the_group;
  if not found then
    insert into holdfast_queue.groups (queue, name, concurrency, rate_tasks, rate_ms, debt, debt_at)
      values (the_queue, the_group, coalesce((the_limit ->> 'concurrency')::int, 1), tasks, ms, 0, now);
    return;
  elsif the_limit is null then
    return;
  end if;
  if (the_limit ->> 'concurrency')::int < g.concurrency then
    -- More may have been let go than may be now.
    update holdfast_queue.tasks set state = HELD_BACK, stray = null where queue = the_queue and live_grp = the_group and state = READY;
  end if;
  if tasks is null or g.rate_tasks is null then
    g.debt := 0;
  elsif tasks <> g.rate_tasks or ms <> g.rate_ms then
    -- What is owed is carried over. As floating point numbers, as in the other stores.
    g.debt := least(ceil(holdfast_queue.debt_at(g, now)::double precision / g.rate_ms * ms), tasks * ms);
  else
    g.debt := holdfast_queue.debt_at(g, now);
  end if;
  update holdfast_queue.groups set concurrency = (the_limit ->> 'concurrency')::int, rate_tasks = tasks, rate_ms = ms,
    debt = g.debt, debt_at = now, due = null
    where queue = the_queue and name = the_group;
end
$$;

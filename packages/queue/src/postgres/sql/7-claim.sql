-- Leases: given, ended, made longer.

-- The ready tasks whose turn is next: of the lines, and of those beside them.
create function holdfast_queue.first_ready(the_queue int, the_max int)
  returns table (tid tid, rank smallint, turn bigint, num bigint, fence bigint, added_at bigint) language sql stable as $$
  select * from (
    (select t.* from holdfast_queue.levels l cross join lateral (
        select ctid, rank, turn, num, fence, added_at from holdfast_queue.tasks t
          where t.queue = the_queue and t.rank = l.rank and t.lined and (t.turn, t.num) > (l.head_turn, l.head_num)
            and t.state = READY
          order by t.turn, t.num limit the_max
      ) t where l.queue = the_queue order by l.rank, t.turn, t.num limit the_max)
    union all
    (select ctid, rank, turn, num, fence, added_at from holdfast_queue.tasks
      where queue = the_queue and stray order by rank, turn, num limit the_max)
  ) t order by rank, turn, num limit the_max
$$;

-- Leases up to so many tasks. Answers what their worker needs to know, as JSON, and in any order: fences tell which was first.
create function holdfast_queue.claim(the_queue int, now bigint, the_worker text, the_max int, the_lease_ms bigint)
  returns text language plpgsql as $$
#variable_conflict use_column
declare
  q holdfast_queue.queues;
  n record;
  g record;
begin
  select * into q from holdfast_queue.queues where queue = the_queue;
  if q.paused or q.ready = 0 or the_max <= 0 then
    return '[]';
  end if;
  with picked as materialized (
    select tid, row_number() over (order by rank, turn, num) as place, fence = 0 as is_first
      from holdfast_queue.first_ready(the_queue, the_max)
  ), claimed as (
    update holdfast_queue.tasks t set state = RUNNING, fence = q.fence + p.place, attempt = t.failures + 1, worker = the_worker,
      started_at = now, due = now + the_lease_ms, expires_at = null, seq = t.seq + 1, stray = null,
      alarm = case when not t.lined then now + the_lease_ms end
      from picked p where t.ctid = p.tid
      returning p.is_first, t.since, t.id, t.fence, t.attempt, t.backoff, t.name, t.max_attempts, t.meta,
        t.checkpoints, t.input, t.input_bytes, t.flat, t.rank, t.turn, t.num, t.lined, t.grp
  ), raised as (
    update holdfast_queue.levels l set turn = greatest(l.turn, c.turn),
        head_turn = coalesce(c.head[1], l.head_turn), head_num = coalesce(c.head[2], l.head_num)
      from (select rank, max(turn) as turn, max(array[turn, num]) filter (where lined) as head from claimed group by rank) c
      where l.queue = the_queue and l.rank = c.rank
  )
  select count(*) as tasks, array_agg(id) as ids, array_agg(id) filter (where not flat) as noted,
    array_agg(grp) filter (where grp is not null) as groups,
    coalesce(sum(now - since) filter (where is_first), 0) as waited,
    exists (select from holdfast_queue.waits where queue = the_queue and kind = 'events') as are_watched,
    string_agg(json_build_array(id, fence, attempt, coalesce(backoff, 0), name, max_attempts, meta, checkpoints, input,
      encode(input_bytes, 'base64'))::text, ',') as text
    into n from claimed;
  if n.tasks = 0 then
    return '[]';
  end if;
  update holdfast_queue.queues set fence = fence + n.tasks, ready = ready - n.tasks, running = running + n.tasks,
    all_started = all_started + n.tasks, waited_ms = waited_ms + n.waited, next_due = least(next_due, now + the_lease_ms),
    watch_due = least(watch_due, now + the_lease_ms)
    where queue = the_queue;
  if n.are_watched then
    perform holdfast_queue.wake(the_queue, n.ids);
  end if;
  if n.noted is not null then
    insert into holdfast_queue.events (queue, id, seq, at, body)
      select the_queue, id, seq, now, '{"type":"started","attempt":' || attempt || '}' from holdfast_queue.tasks
        where queue = the_queue and id = any(n.noted);
    perform holdfast_queue.trim_all(the_queue, n.noted);
  end if;
  if n.groups is not null then
    for g in
      select s.name, count(*) as started from unnest(n.groups) u(name)
        join holdfast_queue.groups s on s.queue = the_queue and s.name = u.name
        where s.rate_tasks is not null group by s.name order by s.name
    loop
      update holdfast_queue.groups s set debt = holdfast_queue.debt_at(s, now) + g.started * rate_ms, debt_at = now
        where queue = the_queue and name = g.name;
      perform holdfast_queue.regroup(the_queue, g.name, now);
    end loop;
  end if;
  -- A look from time to time is enough.
  if q.fence % 1024 + n.tasks >= 1024 then
    perform holdfast_queue.forget_turns_over(the_queue);
  end if;
  return '[' || n.text || ']';
end
$$;

-- The task, if this lease on it is held.
create function holdfast_queue.held(the_queue int, the_id text, the_fence bigint, now bigint) returns holdfast_queue.tasks
  language plpgsql as $$
#variable_conflict use_column
declare
  t holdfast_queue.tasks;
begin
  select * into t from holdfast_queue.tasks
    where queue = the_queue and id = the_id and state = RUNNING and fence = the_fence and coalesce(due, 0) > now for update;
  return t;
end
$$;

-- '0' when a lease is lost, the reason when a cancel took it, '1' when a transaction of its worker has completed the task.
create function holdfast_queue.refusal(the_queue int, the_id text, the_fence bigint, settles boolean) returns text
  language plpgsql as $$
#variable_conflict use_column
declare
  t record;
begin
  select state, reason, by_tx into t from holdfast_queue.tasks where queue = the_queue and id = the_id and fence = the_fence;
  if t.state = CANCELLED then
    return to_json('=' || t.reason)::text;
  end if;
  return case when settles and t.by_tx then '1' else '0' end;
end
$$;

-- Completes tasks, each named once. Answers '1' when all leases were held.
create function holdfast_queue.complete(the_queue int, now bigint, the_list jsonb) returns text language plpgsql as $$
#variable_conflict use_column
declare
  n record;
  p record;
begin
  -- Found one by one, by ID, and what is due hidden from the planner: it could begin with all that run.
  with given as materialized (
    select u.*, (select t.ctid from holdfast_queue.tasks t where t.queue = the_queue and t.id = u.id) as tid
    from rows from (
      jsonb_array_elements_text(the_list -> 0), jsonb_array_elements_text(the_list -> 1), jsonb_array_elements_text(the_list -> 2),
      jsonb_array_elements_text(the_list -> 3)
    ) with ordinality as u(id, fence, result, bytes, place)
  ), ended as (
    update holdfast_queue.tasks t set state = COMPLETED, seq = t.seq + 1, finished_at = now, due = now + t.keep_ms, worker = null,
      input = null, input_bytes = null, alarm = null, live_key = null, live_grp = null, result = g.result, result_bytes = decode(g.bytes, 'base64')
      from given g
      where t.ctid = g.tid and t.fence = g.fence::bigint and t.state = RUNNING and coalesce(t.due, 0) > now
      returning t.id, g.place, t.flat, t.grp, t.parent, t.parent_born, t.awaited, t.due, now - t.started_at as ran
  ), listed as (
    insert into holdfast_queue.kept (queue, failed, due, ids)
      -- Not so many that they would have to be compressed.
      select the_queue, false, due, array_agg(id) from ended group by due, place / 50
  )
  select count(*) as tasks, coalesce(sum(ran), 0) as ran, min(due) as due, array_agg(place) as places, array_agg(id) as ids,
    array_agg(id) filter (where not flat) as noted, array_agg(grp) filter (where grp is not null) as groups,
    array_agg(parent) filter (where awaited) as parents,
    array_agg(parent_born) filter (where awaited) as born,
    exists (select from holdfast_queue.waits where queue = the_queue and kind = 'events') as are_watched
    into n from ended;
  if n.tasks > 0 then
    update holdfast_queue.queues set running = running - n.tasks, completed = completed + n.tasks,
      all_completed = all_completed + n.tasks, ran_ms = ran_ms + n.ran, next_due = least(next_due, n.due)
      where queue = the_queue;
    if n.are_watched then
      perform holdfast_queue.wake(the_queue, n.ids);
    end if;
    if n.noted is not null then
      insert into holdfast_queue.events (queue, id, seq, at, body)
        select the_queue, id, seq, now, '{"type":"completed"}' from holdfast_queue.tasks
          where queue = the_queue and id = any(n.noted);
      perform holdfast_queue.trim_all(the_queue, n.noted);
    end if;
    if n.groups is not null then
      perform holdfast_queue.regroup_all(the_queue, n.groups, now);
    end if;
    if n.parents is not null then
      for p in select id, born, count(*) as children from unnest(n.parents, n.born) u(id, born) group by 1, 2 order by 2 loop
        perform holdfast_queue.end_children(the_queue, p.id, p.born, p.children, now);
      end loop;
    end if;
  end if;
  if n.tasks = jsonb_array_length(the_list -> 0) then
    return '1';
  end if;
  return (
    select '[' || string_agg(case when place = any(n.places) then '1'
      else holdfast_queue.refusal(the_queue, id, fence::bigint, true) end, ',' order by place) || ']'
    from rows from (jsonb_array_elements_text(the_list -> 0), jsonb_array_elements_text(the_list -> 1)) with ordinality
      as u(id, fence, place)
  );
end
$$;

-- Ends one lease in any way: [kind, id, fence, …]. The events that go with it are given as JSON.
create function holdfast_queue.settle(the_queue int, now bigint, s jsonb) returns text language plpgsql as $$
#variable_conflict use_column
declare
  kind text := s ->> 0;
  t holdfast_queue.tasks := holdfast_queue.held(the_queue, s ->> 1, (s ->> 2)::bigint, now);
begin
  if t.id is null then
    return holdfast_queue.refusal(the_queue, s ->> 1, (s ->> 2)::bigint, true);
  elsif kind = 'complete' then
    t.result := s ->> 3;
    t.result_bytes := decode(s ->> 4, 'base64');
    perform holdfast_queue.finish(t, COMPLETED, now, '{"type":"completed"}', now);
  elsif kind = 'release' then
    perform holdfast_queue.make_ready(holdfast_queue.noted(t, now, '{"type":"released"}'), now);
  elsif kind = 'fail' then
    perform holdfast_queue.fail(t, now, s ->> 3, s ->> 4, (s ->> 5)::bigint, (s ->> 6)::double precision);
  else
    perform holdfast_queue.suspend(t, now, s ->> 3, case when s ->> 4 is not null then array(select jsonb_array_elements_text(s -> 4)) end,
      (s ->> 5)::boolean, (s ->> 6)::bigint);
  end if;
  return '1';
end
$$;

-- A failed try. Without a delay there is to be no other.
create function holdfast_queue.fail(
  t holdfast_queue.tasks, now bigint, the_error text, the_retrying text, the_delay bigint, the_backoff double precision
) returns void language plpgsql as $$
#variable_conflict use_column
begin
  t.failures := t.failures + 1;
  t.error := the_error;
  if the_delay is null or t.failures >= t.max_attempts then
    perform holdfast_queue.finish(t, FAILED, now, '{"type":"failed","error":' || the_error || '}', now);
    return;
  end if;
  update holdfast_queue.queues set all_retried = all_retried + 1 where queue = t.queue;
  t.backoff := the_backoff;
  t := holdfast_queue.noted(t, now, the_retrying);
  if the_delay > 0 then
    perform holdfast_queue.put_off(t, SCHEDULED, now + the_delay, now);
  else
    perform holdfast_queue.make_ready(t, now);
  end if;
end
$$;

-- Gives a task back until something happens, which may be the case already.
create function holdfast_queue.suspend(
  t holdfast_queue.tasks, now bigint, the_body text, the_events text[], the_children boolean, the_delay bigint
) returns void language plpgsql as $$
#variable_conflict use_column
begin
  t := holdfast_queue.noted(t, now, the_body);
  if the_delay <= 0 or (the_delay is null and the_events is null and the_children is not true) or (the_children and t.open_children = 0) or exists (
    select from holdfast_queue.checkpoints where queue = t.queue and id = t.id and name = any(the_events))
  then
    perform holdfast_queue.make_ready(t, now);
  elsif the_events is null and the_children is not true and the_delay > 0 then
    perform holdfast_queue.put_off(t, SCHEDULED, now + the_delay, now);
  else
    t.wait_events := the_events;
    t.wait_children := the_children;
    perform holdfast_queue.put_off(t, WAITING, now + the_delay, now);
  end if;
end
$$;

create function holdfast_queue.renew(the_queue int, now bigint, the_lease_ms bigint, the_list jsonb) returns text
  language plpgsql as $$
#variable_conflict use_column
declare
  l record;
  t holdfast_queue.tasks;
  answers text[] := '{}';
begin
  for l in select v ->> 0 as id, (v ->> 1)::bigint as fence from jsonb_array_elements(the_list) with ordinality as u(v, place)
    order by place
  loop
    -- One that is locked is being completed by a transaction of its worker; nobody else gets it meanwhile.
    select * into t from holdfast_queue.tasks
      where queue = the_queue and id = l.id and state = RUNNING and fence = l.fence and coalesce(due, 0) > now for update skip locked;
    if found then
      update holdfast_queue.tasks set due = now + the_lease_ms, alarm = case when alarm is not null then now + the_lease_ms end
        where queue = the_queue and id = l.id;
      answers := answers || '1'::text;
    elsif exists (select from holdfast_queue.tasks
      where queue = the_queue and id = l.id and state = RUNNING and fence = l.fence and coalesce(due, 0) > now)
    then
      answers := answers || '1'::text;
    else
      answers := answers || holdfast_queue.refusal(the_queue, l.id, l.fence, false);
    end if;
  end loop;
  update holdfast_queue.queues set next_due = least(next_due, now + the_lease_ms), watch_due = least(watch_due, now + the_lease_ms)
    where queue = the_queue and watch_due > now + the_lease_ms;
  return '[' || array_to_string(answers, ',') || ']';
end
$$;

-- Notes what workers say of their tasks: [id, fence, [[what is new of its progress or null, event], …]] for each.
create function holdfast_queue.report(the_queue int, now bigint, the_list jsonb) returns text language plpgsql as $$
#variable_conflict use_column
declare
  r jsonb;
  said jsonb;
  t holdfast_queue.tasks;
  answers text[] := '{}';
begin
  for r in select v from jsonb_array_elements(the_list) with ordinality as u(v, place) order by place loop
    t := holdfast_queue.held(the_queue, r ->> 0, (r ->> 1)::bigint, now);
    if t.id is null then
      answers := answers || holdfast_queue.refusal(the_queue, r ->> 0, (r ->> 1)::bigint, false);
      continue;
    end if;
    for said in select v from jsonb_array_elements(r -> 2) with ordinality as u(v, place) order by place loop
      t.progress := coalesce(said ->> 0, t.progress);
      t := holdfast_queue.noted(t, now, said ->> 1);
    end loop;
    perform holdfast_queue.save(t);
    answers := answers || '1'::text;
  end loop;
  return '[' || array_to_string(answers, ',') || ']';
end
$$;

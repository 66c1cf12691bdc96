-- How tasks change, one at a time. What takes and answers a task works on a copy; the last step saves it.

create function holdfast_queue.save(t holdfast_queue.tasks) returns void language plpgsql as $$
begin
  update holdfast_queue.tasks set
    state = t.state, lined = t.lined, turn = t.turn, num = t.num, due = t.due, wake_at = t.wake_at, expires_at = t.expires_at,
    fence = t.fence, attempt = t.attempt, failures = t.failures, losses = t.losses, started_at = t.started_at,
    finished_at = t.finished_at, ended = t.ended, seq = t.seq, flat = t.flat, checkpoints = t.checkpoints,
    open_children = t.open_children, parent_born = t.parent_born, awaited = t.awaited, since = t.since, wait_children = t.wait_children, by_tx = t.by_tx,
    backoff = t.backoff, worker = t.worker, wait_events = t.wait_events, reason = t.reason, error = t.error,
    progress = t.progress, input = t.input, input_bytes = t.input_bytes, result = t.result, result_bytes = t.result_bytes,
    stray = case when t.state = READY and not t.lined then true end,
    alarm = case when t.state in (ENTERING, LEAVING, RUNNING) then t.alarm when t.state < COMPLETED then t.due end,
    live_key = case when t.state < COMPLETED then t.dedup_key end,
    live_grp = case when t.state between SCHEDULED and LEAVING then t.grp end
  where queue = t.queue and id = t.id;
end
$$;

-- Counts so many tasks that went from one state to another, and of which something happens by itself at `the_due`.
create function holdfast_queue.count_moves(the_queue int, before int, after int, n bigint, the_due bigint) returns void
  language plpgsql as $$
begin
  update holdfast_queue.queues set
    scheduled = scheduled + n * ((after = SCHEDULED)::int - (before = SCHEDULED)::int),
    waiting = waiting + n * ((after = WAITING)::int - (before = WAITING)::int),
    ready = ready + n * ((after in (READY, HELD_BACK))::int - (before in (READY, HELD_BACK))::int),
    running = running + n * ((after in (RUNNING, LEAVING))::int - (before in (RUNNING, LEAVING))::int),
    completed = completed + n * ((after = COMPLETED)::int - (before = COMPLETED)::int),
    failed = failed + n * ((after = FAILED)::int - (before = FAILED)::int),
    cancelled = cancelled + n * ((after = CANCELLED)::int - (before = CANCELLED)::int),
    next_due = least(next_due, the_due)
  where queue = the_queue;
end
$$;

create function holdfast_queue.move(t holdfast_queue.tasks, after int, the_due bigint) returns holdfast_queue.tasks
  language plpgsql as $$
begin
  perform holdfast_queue.count_moves(t.queue, t.state, after, 1, the_due);
  t.state := after;
  t.due := the_due;
  if after < COMPLETED then
    t.lined := false;
  end if;
  return t;
end
$$;

create function holdfast_queue.make_ready(t holdfast_queue.tasks, now bigint) returns void language plpgsql as $$
begin
  if t.state = WAITING then
    -- Before its first start it could not have been started until now.
    t.since := now;
  end if;
  t := holdfast_queue.move(t, case when t.grp is null then READY else HELD_BACK end, t.expires_at);
  t.wake_at := null;
  t.wait_events := null;
  t.wait_children := null;
  perform holdfast_queue.save(t);
  if t.grp is not null then
    perform holdfast_queue.regroup(t.queue, t.grp, now);
  end if;
end
$$;

-- Puts a task off until `the_wake_at`, or for as long as what it waits for takes.
create function holdfast_queue.put_off(t holdfast_queue.tasks, after int, the_wake_at bigint, now bigint)
  returns void language plpgsql as $$
begin
  t := holdfast_queue.move(t, after, least(the_wake_at, t.expires_at));
  t.wake_at := the_wake_at;
  perform holdfast_queue.save(t);
  if t.grp is not null then
    perform holdfast_queue.regroup(t.queue, t.grp, now);
  end if;
end
$$;

create function holdfast_queue.finish(t holdfast_queue.tasks, after int, the_at bigint, the_body text, now bigint)
  returns void language plpgsql as $$
#variable_conflict use_column
declare
  counts boolean := t.awaited;
begin
  t.finished_at := the_at;
  if t.flat and t.seq = 2 and after = COMPLETED then
    t.seq := 3;
    perform holdfast_queue.wake(t.queue, array[t.id]);
  else
    t := holdfast_queue.noted(t, the_at, the_body);
  end if;
  t := holdfast_queue.move(t, after, the_at + case after when FAILED then t.keep_failed_ms else t.keep_ms end);
  t.wake_at := null;
  t.expires_at := null;
  t.wait_events := null;
  t.wait_children := null;
  t.awaited := false;
  insert into holdfast_queue.kept (queue, failed, due, ids) values (t.queue, after = FAILED, t.due, array[t.id]);
  if after = FAILED then
    update holdfast_queue.queues set ends = ends + 1, all_failed = all_failed + 1 where queue = t.queue
      returning ends into t.ended;
  else
    t.input := null;
    t.input_bytes := null;
    update holdfast_queue.queues set
      all_completed = all_completed + (after = COMPLETED)::int, all_cancelled = all_cancelled + (after = CANCELLED)::int,
      ran_ms = ran_ms + case when after = COMPLETED then the_at - t.started_at else 0 end
      where queue = t.queue;
  end if;
  perform holdfast_queue.save(t);
  if t.grp is not null then
    perform holdfast_queue.regroup(t.queue, t.grp, now);
  end if;
  if counts then
    perform holdfast_queue.end_children(t.queue, t.parent, t.parent_born, 1, now);
  end if;
end
$$;

-- So many children of a task have ended.
create function holdfast_queue.end_children(the_queue int, the_parent text, the_born bigint, n bigint, now bigint)
  returns void language plpgsql as $$
#variable_conflict use_column
declare
  p holdfast_queue.tasks;
begin
  update holdfast_queue.tasks set open_children = open_children - n
    where queue = the_queue and id = the_parent and born = the_born
    returning * into p;
  if p.open_children = 0 and p.state = WAITING and p.wait_children then
    perform holdfast_queue.make_ready(p, now);
  end if;
end
$$;

create function holdfast_queue.lose_lease(t holdfast_queue.tasks, the_at bigint) returns void language plpgsql as $$
begin
  t.losses := t.losses + 1;
  t := holdfast_queue.noted(t, the_at, '{"type":"lease_lost"}');
  if t.losses <= t.max_losses then
    perform holdfast_queue.make_ready(t, the_at);
  else
    t.error := '{"code":"LEASE_LOST","message":"its workers stopped renewing their leases: they died, hung, or could not reach the store"}';
    perform holdfast_queue.finish(t, FAILED, the_at, '{"type":"failed","error":' || t.error || '}', the_at);
  end if;
end
$$;

-- Cancels a live task, and its live children, and theirs.
create function holdfast_queue.cancel_family(root holdfast_queue.tasks, the_at bigint, the_reason text, the_body text)
  returns void language plpgsql as $$
#variable_conflict use_column
declare
  doomed text[];
begin
  doomed := array(
    with recursive family as (
      select root.id, root.born
      union all
      select c.id, c.born from family f, lateral (
        select id, born from holdfast_queue.tasks
          where queue = root.queue and parent = f.id and parent is not null and parent_born = f.born
            and state between SCHEDULED and LEAVING
      ) c
    )
    select id from family);
  perform holdfast_queue.cancel_all(root.queue, doomed, the_at, the_reason, the_body, the_at);
  -- The other parents have been cancelled too.
  if root.awaited then
    perform holdfast_queue.end_children(root.queue, root.parent, root.parent_born, 1, the_at);
  end if;
end
$$;

-- Cancels live tasks, then, or where no time is said, each when it was due.
create function holdfast_queue.cancel_all(
  the_queue int, doomed text[], the_at bigint, the_reason text, the_body text, now bigint
) returns void language plpgsql as $$
#variable_conflict use_column
declare
  n record;
begin
  perform holdfast_queue.store_flat_events(the_queue, doomed);
  insert into holdfast_queue.revoked (queue, worker, id, fence, reason)
    select queue, worker, id, fence, the_reason from holdfast_queue.tasks
      where queue = the_queue and id = any(doomed) and state = RUNNING order by num;
  insert into holdfast_queue.waits (queue, kind, id, woken)
    select distinct queue, 'revoked', worker, true from holdfast_queue.tasks
      where queue = the_queue and id = any(doomed) and state = RUNNING
    on conflict (queue, kind, id) do update set woken = true;
  perform holdfast_queue.bound_revoked(the_queue, worker) from (select distinct worker from holdfast_queue.tasks
    where queue = the_queue and id = any(doomed) and state = RUNNING) w;
  perform holdfast_queue.count_moves(the_queue, state, CANCELLED, tasks, due) from (
    select state, count(*) as tasks, min(coalesce(the_at, due) + keep_ms) as due from holdfast_queue.tasks
      where queue = the_queue and id = any(doomed) group by state
  ) m;
  with ended as (
    update holdfast_queue.tasks set state = CANCELLED, seq = seq + 1, flat = false, finished_at = coalesce(the_at, due),
      due = coalesce(the_at, due) + keep_ms, reason = the_reason, wake_at = null, expires_at = null, wait_events = null,
      wait_children = null, awaited = false, worker = null, input = null, input_bytes = null, stray = null, alarm = null,
      live_key = null, live_grp = null
      where queue = the_queue and id = any(doomed)
      returning id, seq, grp, due, finished_at
  ), listed as (
    insert into holdfast_queue.kept (queue, failed, due, ids)
      -- Not so many that they would have to be compressed.
      select the_queue, false, due, array_agg(id) from (select id, due, row_number() over (partition by due) as place from ended) e
        group by due, place / 50
  ), noted as (
    insert into holdfast_queue.events (queue, id, seq, at, body) select the_queue, id, seq, finished_at, the_body from ended
  )
  select array_agg(grp) filter (where grp is not null) as groups, array_agg(id) filter (where seq > 9) as long into n from ended;
  update holdfast_queue.queues set all_cancelled = all_cancelled + cardinality(doomed) where queue = the_queue;
  perform holdfast_queue.trim_all(the_queue, n.long);
  perform holdfast_queue.wake(the_queue, doomed);
  perform holdfast_queue.regroup_all(the_queue, n.groups, now);
end
$$;

-- At most 1,000 for each worker, the latest: one that asks no more learns the rest when it renews.
create function holdfast_queue.bound_revoked(the_queue int, the_worker text) returns void language plpgsql as $$
#variable_conflict use_column
begin
  delete from holdfast_queue.revoked where queue = the_queue and worker = the_worker and num <= (
    select num from holdfast_queue.revoked where queue = the_queue and worker = the_worker order by num desc offset 1000 limit 1);
  -- Nor for more than so many workers.
  if (select count(*) from (select distinct worker from holdfast_queue.revoked where queue = the_queue limit 1001) w) > 1000 then
    delete from holdfast_queue.revoked where queue = the_queue and worker = (
      select worker from holdfast_queue.revoked where queue = the_queue and worker <> the_worker order by num limit 1);
  end if;
end
$$;

-- Forgets ended tasks.
create function holdfast_queue.forget(the_queue int, the_ids text[]) returns bigint language plpgsql as $$
#variable_conflict use_column
declare
  noted text[];
  marked text[];
  n record;
begin
  with gone as (
    delete from holdfast_queue.tasks where queue = the_queue and id = any(the_ids) and state >= COMPLETED
      returning id, state, flat, checkpoints
  )
  select count(*) as gone, count(*) filter (where state = COMPLETED) as completed,
    count(*) filter (where state = FAILED) as failed, count(*) filter (where state = CANCELLED) as cancelled,
    array_agg(id) as ids, array_agg(id) filter (where not flat) as noted, array_agg(id) filter (where checkpoints > 0) as marked
    into n from gone;
  if n.gone = 0 then
    return 0;
  end if;
  update holdfast_queue.queues set completed = completed - n.completed, failed = failed - n.failed,
    cancelled = cancelled - n.cancelled where queue = the_queue;
  if n.noted is not null then
    delete from holdfast_queue.events where queue = the_queue and id = any(n.noted);
  end if;
  if n.marked is not null then
    delete from holdfast_queue.checkpoints where queue = the_queue and id = any(n.marked);
  end if;
  perform holdfast_queue.wake(the_queue, n.ids);
  return n.gone;
end
$$;

-- How tasks change, one at a time. What takes and answers a task works on a copy; the last step saves it.

create function holdfast_queue.save(t holdfast_queue.tasks) returns void language plpgsql as $$
begin
  update holdfast_queue.tasks set
    state = t.state, turn = t.turn, num = t.num, due = t.due, wake_at = t.wake_at, expires_at = t.expires_at,
    fence = t.fence, attempt = t.attempt, failures = t.failures, losses = t.losses, started_at = t.started_at,
    finished_at = t.finished_at, ended = t.ended, seq = t.seq, flat = t.flat, checkpoints = t.checkpoints,
    open_children = t.open_children, parent_born = t.parent_born, awaited = t.awaited, since = t.since, wait_children = t.wait_children, by_tx = t.by_tx,
    backoff = t.backoff, worker = t.worker, wait_event = t.wait_event, reason = t.reason, error = t.error,
    progress = t.progress, input = t.input, input_bytes = t.input_bytes, result = t.result, result_bytes = t.result_bytes
  where queue = t.queue and id = t.id;
end
$$;

-- Counts so many tasks that went from one state to another; null for those that come or go.
create function holdfast_queue.count_moves(the_queue int, before int, after int, n bigint) returns void language plpgsql as $$
begin
  update holdfast_queue.queues set
    scheduled = scheduled + n * ((after = SCHEDULED)::int - (before = SCHEDULED)::int),
    waiting = waiting + n * ((after = WAITING)::int - (before = WAITING)::int),
    ready = ready + n * ((after in (READY, HELD_BACK))::int - (before in (READY, HELD_BACK))::int),
    running = running + n * ((after in (RUNNING, LEAVING))::int - (before in (RUNNING, LEAVING))::int),
    completed = completed + n * ((after = COMPLETED)::int - (before = COMPLETED)::int),
    failed = failed + n * ((after = FAILED)::int - (before = FAILED)::int),
    cancelled = cancelled + n * ((after = CANCELLED)::int - (before = CANCELLED)::int)
  where queue = the_queue;
end
$$;

create function holdfast_queue.move(t holdfast_queue.tasks, after int, the_due bigint) returns holdfast_queue.tasks
  language plpgsql as $$
begin
  perform holdfast_queue.count_moves(t.queue, t.state, after, 1);
  t.state := after;
  t.due := the_due;
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
  t.wait_event := null;
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
  t.wait_event := null;
  t.wait_children := null;
  t.awaited := false;
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

create function holdfast_queue.lose_lease(t holdfast_queue.tasks, the_at bigint, now bigint) returns void language plpgsql as $$
begin
  t.losses := t.losses + 1;
  t := holdfast_queue.noted(t, the_at, '{"type":"lease_lost"}');
  if t.losses <= t.max_losses then
    perform holdfast_queue.make_ready(t, now);
  else
    t.error := '{"code":"LEASE_LOST","message":"its workers stopped renewing their leases: they died, hung, or could not reach the store"}';
    perform holdfast_queue.finish(t, FAILED, the_at, '{"type":"failed","error":' || t.error || '}', now);
  end if;
end
$$;

-- Cancels a live task, and its live children, and theirs.
create function holdfast_queue.cancel_family(root text, the_queue int, the_at bigint, the_reason text, the_body text, now bigint)
  returns void language plpgsql as $$
#variable_conflict use_column
declare
  doomed text[] := array[root];
  t holdfast_queue.tasks;
begin
  -- Generation by generation: what is called by itself has only so much room.
  while cardinality(doomed) > 0 loop
    for t in select * from holdfast_queue.tasks where queue = the_queue and id = any(doomed) order by born loop
      -- The end of another may have changed it since the list was made.
      select * into t from holdfast_queue.tasks where queue = the_queue and id = t.id for update;
      if t.state = RUNNING then
        perform holdfast_queue.revoke(t, the_reason);
      end if;
      t.reason := the_reason;
      perform holdfast_queue.finish(t, CANCELLED, the_at, the_body, now);
    end loop;
    doomed := array(select c.id from holdfast_queue.tasks p join holdfast_queue.tasks c
      on c.queue = the_queue and c.parent = p.id and c.parent is not null and c.parent_born = p.born
        and c.state between SCHEDULED and LEAVING
      where p.queue = the_queue and p.id = any(doomed));
  end loop;
end
$$;

-- At most 1,000 for each worker, the latest. Workers that never ask are forgotten when there are too many of them all.
create function holdfast_queue.revoke(t holdfast_queue.tasks, the_reason text) returns void language plpgsql as $$
#variable_conflict use_column
begin
  insert into holdfast_queue.revoked (queue, worker, id, fence, reason) values (t.queue, t.worker, t.id, t.fence, the_reason);
  delete from holdfast_queue.revoked where queue = t.queue and worker = t.worker and num <= (
    select num from holdfast_queue.revoked where queue = t.queue and worker = t.worker
      order by num desc offset 1000 limit 1);
  insert into holdfast_queue.waits (queue, kind, id, woken) values (t.queue, 'revoked', t.worker, true)
    on conflict (queue, kind, id) do update set woken = true;
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

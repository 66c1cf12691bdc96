-- What can be asked about tasks.

-- A task in words: null when there is none.
create function holdfast_queue.status(t holdfast_queue.tasks) returns json language sql stable as $$
  select case when t.id is not null then json_build_array(t.id, t.state, t.due, t.added_at, t.started_at, t.finished_at, t.attempt,
    t.max_attempts, t.losses, t.seq, -t.rank, t.worker, t.name, t.grp, t.progress, t.error, t.reason, t.tenant, t.parent,
    t.wait_events, t.wait_children, t.wake_at) end
$$;

create function holdfast_queue.get(the_queue int, the_ids jsonb) returns text language plpgsql as $$
#variable_conflict use_column
begin
  return (select coalesce(json_agg(holdfast_queue.status(t) order by place), '[]')::text
    from jsonb_array_elements_text(the_ids) with ordinality i(id, place)
    left join holdfast_queue.tasks t on t.queue = the_queue and t.id = i.id);
end
$$;

create function holdfast_queue.children(the_queue int, the_id text) returns text language plpgsql as $$
#variable_conflict use_column
begin
  return (select coalesce(json_agg(holdfast_queue.status(t) order by born), '[]')::text
    from holdfast_queue.tasks t where queue = the_queue and parent = the_id and parent is not null
      and parent_born = (select p.born from holdfast_queue.tasks p where p.queue = the_queue and p.id = the_id));
end
$$;

-- What has completed or was cancelled has let go of it.
create function holdfast_queue.input(the_queue int, the_id text) returns text language plpgsql as $$
#variable_conflict use_column
begin
  return (select json_build_array(name, meta, input, encode(input_bytes, 'base64'))::text
    from holdfast_queue.tasks where queue = the_queue and id = the_id and input is not null and state not in (COMPLETED, CANCELLED));
end
$$;

create function holdfast_queue.result(the_queue int, the_id text) returns text language plpgsql as $$
#variable_conflict use_column
begin
  return (select json_build_array(result, encode(result_bytes, 'base64'))::text
    from holdfast_queue.tasks where queue = the_queue and id = the_id and state = COMPLETED);
end
$$;

-- [latest event, whether the task has ended, [[seq, at, event], …]]
create function holdfast_queue.events_after(the_queue int, the_id text, the_after int, the_max int) returns text
  language plpgsql as $$
#variable_conflict use_column
declare
  t holdfast_queue.tasks;
begin
  select * into t from holdfast_queue.tasks where queue = the_queue and id = the_id;
  if t.id is null then
    return null;
  elsif t.flat then
    return (select json_build_array(t.seq, t.state >= COMPLETED, coalesce(json_agg(json_build_array(n,
        case n when 1 then t.added_at when 2 then t.started_at else t.finished_at end,
        case n when 1 then '{"type":"enqueued"}' when 2 then '{"type":"started","attempt":1}' else '{"type":"completed"}' end)
        order by n), '[]'))::text
      from generate_series(greatest(the_after, 0) + 1, least(t.seq::bigint, greatest(the_after, 0)::bigint + the_max)) n);
  end if;
  return (select json_build_array(t.seq, t.state >= COMPLETED,
      coalesce(json_agg(json_build_array(seq, at, body) order by seq), '[]'))::text
    from (select seq, at, body from holdfast_queue.events where queue = the_queue and id = the_id and seq > the_after
      order by seq limit the_max) e);
end
$$;

create function holdfast_queue.stats(the_queue int) returns text language plpgsql as $$
#variable_conflict use_column
begin
  return (select json_build_array(scheduled, waiting, ready, running, completed, failed, cancelled)::text
    from holdfast_queue.queues where queue = the_queue);
end
$$;

create function holdfast_queue.meter(the_queue int) returns text language plpgsql as $$
#variable_conflict use_column
begin
  return (select json_build_array(all_added, all_started, all_completed, all_failed, all_cancelled, all_retried, waited_ms,
      ran_ms, paused, case when ready > 0 then (select added_at from holdfast_queue.first_ready(the_queue, 1)) end)::text
    from holdfast_queue.queues where queue = the_queue);
end
$$;

create function holdfast_queue.list(the_queue int, the_state text, the_max int) returns text language plpgsql as $$
#variable_conflict use_column
declare
  found json;
begin
  if the_state = 'ready' then
    select json_agg(holdfast_queue.status(t) order by (t.state = HELD_BACK), t.rank, t.turn, t.num) into found from (
      (select t.* from holdfast_queue.first_ready(the_queue, the_max) r join holdfast_queue.tasks t on t.ctid = r.tid)
      union all
      (select * from holdfast_queue.tasks where queue = the_queue and state = HELD_BACK limit the_max)
      limit the_max
    ) t;
  elsif the_state in ('scheduled', 'waiting', 'running') then
    select json_agg(holdfast_queue.status(t) order by t.due nulls last, t.num) into found from (
      select * from holdfast_queue.tasks where queue = the_queue
        and state = case the_state when 'scheduled' then SCHEDULED when 'waiting' then WAITING else RUNNING end
        order by due nulls last, num limit the_max
    ) t;
  elsif the_state = 'failed' then
    select json_agg(holdfast_queue.status(t) order by t.ended desc) into found from (
      select * from holdfast_queue.tasks where queue = the_queue and ended is not null order by ended desc limit the_max
    ) t;
  else
    select json_agg(holdfast_queue.status(t) order by t.finished_at desc) into found from (
      select t.* from holdfast_queue.kept k cross join unnest(k.ids) i(id)
        join holdfast_queue.tasks t on t.queue = the_queue and t.id = i.id
        where k.queue = the_queue and not k.failed and t.state = case the_state when 'completed' then COMPLETED else CANCELLED end
        order by k.due desc limit the_max
    ) t;
  end if;
  return coalesce(found, '[]')::text;
end
$$;

create function holdfast_queue.dead_letters(the_queue int, the_max int, the_after text) returns text language plpgsql as $$
#variable_conflict use_column
declare
  behind bigint := 0;
begin
  if the_after is not null then
    select ended into behind from holdfast_queue.tasks where queue = the_queue and id = the_after and state = FAILED;
    -- Behind a task that is gone there is nothing to be found any more.
    if not found then
      return '[]';
    end if;
  end if;
  return (select coalesce(json_agg(holdfast_queue.status(t) order by t.ended), '[]')::text from (
    select * from holdfast_queue.tasks where queue = the_queue and ended > behind order by ended limit the_max
  ) t);
end
$$;

create function holdfast_queue.cancel(the_queue int, now bigint, the_reason text, the_body text, the_ids jsonb) returns text
  language plpgsql as $$
#variable_conflict use_column
declare
  t holdfast_queue.tasks;
  the_id text;
  answers text[] := '{}';
begin
  for the_id in select i.id from jsonb_array_elements_text(the_ids) with ordinality i(id, place) order by place loop
    select * into t from holdfast_queue.tasks where queue = the_queue and id = the_id for update;
    if t.id is null then
      answers := answers || '"unknown"'::text;
    elsif t.state >= COMPLETED then
      answers := answers || '"ended"'::text;
    else
      perform holdfast_queue.cancel_family(t, now, the_reason, the_body);
      answers := answers || '"cancelled"'::text;
    end if;
  end loop;
  return '[' || array_to_string(answers, ',') || ']';
end
$$;

create function holdfast_queue.redrive(the_queue int, now bigint, the_ids jsonb) returns text language plpgsql as $$
#variable_conflict use_column
declare
  t holdfast_queue.tasks;
  the_id text;
  answers text[] := '{}';
begin
  for the_id in select i.id from jsonb_array_elements_text(the_ids) with ordinality i(id, place) order by place loop
    select * into t from holdfast_queue.tasks where queue = the_queue and id = the_id for update;
    if t.id is null then
      answers := answers || '"unknown"'::text;
    elsif t.state <> FAILED then
      answers := answers || '"not_failed"'::text;
    elsif t.dedup_key is not null and exists (select from holdfast_queue.tasks o
      where o.queue = the_queue and o.live_key = t.dedup_key)
    then
      answers := answers || '"duplicate"'::text;
    else
      perform holdfast_queue.unlist(the_queue, the_id);
      perform holdfast_queue.forget_turns(the_queue);
      update holdfast_queue.queues set num = num + 1 where queue = the_queue returning num into t.num;
      t.turn := holdfast_queue.take_turn(the_queue, t.rank, t.tenant, t.cost);
      t.attempt := 0;
      t.failures := 0;
      t.losses := 0;
      t.backoff := null;
      t.error := null;
      t.progress := null;
      t.ended := null;
      t := holdfast_queue.noted(t, now, '{"type":"redriven"}');
      if t.grp is not null and not exists (
        select from holdfast_queue.groups where queue = the_queue and name = t.grp)
      then
        perform holdfast_queue.limit_group(the_queue, t.grp, t.group_limit, now);
      end if;
      perform holdfast_queue.make_ready(t, now);
      answers := answers || '"redriven"'::text;
    end if;
  end loop;
  return '[' || array_to_string(answers, ',') || ']';
end
$$;

create function holdfast_queue.discard(the_queue int, the_ids jsonb) returns text language plpgsql as $$
#variable_conflict use_column
declare
  answers text[] := '{}';
  the_id text;
begin
  for the_id in select i.id from jsonb_array_elements_text(the_ids) with ordinality i(id, place) order by place loop
    perform holdfast_queue.unlist(the_queue, the_id);
    answers := answers || case when holdfast_queue.forget(the_queue, array[the_id]) > 0 then 'true' else 'false' end;
  end loop;
  return '[' || array_to_string(answers, ',') || ']';
end
$$;

-- One that is to go earlier than it was listed.
create function holdfast_queue.unlist(the_queue int, the_id text) returns void language plpgsql as $$
#variable_conflict use_column
declare
  t record;
begin
  select state, due into t from holdfast_queue.tasks where queue = the_queue and id = the_id and state >= COMPLETED;
  update holdfast_queue.kept set ids = array_remove(ids, the_id)
    where queue = the_queue and failed = (t.state = FAILED) and due = t.due and the_id = any(ids);
  delete from holdfast_queue.kept where queue = the_queue and failed = (t.state = FAILED) and due = t.due and ids = '{}';
end
$$;

create function holdfast_queue.pause(the_queue int, is_paused boolean) returns text language plpgsql as $$
begin
  update holdfast_queue.queues set paused = is_paused where queue = the_queue;
  return 'null';
end
$$;

-- What cancels have taken from a worker: it is told once.
create function holdfast_queue.take_revoked(the_queue int, the_worker text) returns text language plpgsql as $$
#variable_conflict use_column
declare
  taken text;
begin
  with gone as (
    delete from holdfast_queue.revoked where queue = the_queue and worker = the_worker returning num, id, fence, reason
  )
  select json_agg(json_build_array(id, fence, reason) order by num)::text into taken from gone;
  return taken;
end
$$;

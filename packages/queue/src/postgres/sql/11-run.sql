-- Works off the calls of one tick on one queue, in order, at one instant of this server's clock.

create function holdfast_queue.channel() returns text language sql stable as $$
  select 'holdfast_queue'::text
$$;

-- Locks a queue for the rest of the transaction, and lets everything happen in it that is due.
create function holdfast_queue.open(the_name text, the_max_events int, the_wait_ms int, locks boolean)
  returns holdfast_queue.queues language plpgsql as $$
#variable_conflict use_column
declare
  q holdfast_queue.queues;
  now bigint;
  settings text;
begin
  -- Assigned, which is worked out on the spot; `perform` would be a query with a snapshot and an executor of its own.
  settings := set_config('lock_timeout', the_wait_ms || 'ms', true) || set_config('holdfast.max_events', the_max_events::text, true);
  loop
    if locks then
      select * into q from holdfast_queue.queues where name = the_name for update;
    else
      select * into q from holdfast_queue.queues where name = the_name;
    end if;
    exit when found;
    insert into holdfast_queue.queues (name) values (the_name) on conflict do nothing;
  end loop;
  if not locks then
    return q;
  end if;
  now := holdfast_queue.now_ms();
  if exists (select from holdfast_queue.tasks where queue = q.queue and alarm = -1) then
    perform holdfast_queue.admit(q.queue, now);
    q.next_due := 0;
  end if;
  if q.next_due <= now then
    perform holdfast_queue.sweep(q.queue, now);
    select * into q from holdfast_queue.queues where queue = q.queue;
  end if;
  if q.scheduled + q.waiting + q.ready + q.running = 0 then
    perform holdfast_queue.forget_turns(q.queue);
  end if;
  return q;
end
$$;

-- Tells those who wait what there is for them, and when something happens next. Answers how the queue is then.
-- A message is [queue, whether there is work, whether to look again, IDs with news, workers with news].
create function holdfast_queue.close(the_queue int, now bigint) returns holdfast_queue.queues language plpgsql as $$
#variable_conflict use_column
declare
  q holdfast_queue.queues;
  news record;
  is_waited_for boolean;
  has_work boolean := false;
  is_soon boolean;
  message text;
begin
  select * into q from holdfast_queue.queues where queue = the_queue;
  is_soon := q.next_due < q.told;
  if is_soon then
    update holdfast_queue.queues set told = next_due where queue = the_queue;
  end if;
  if exists (select from holdfast_queue.waits where queue = the_queue) then
    if q.ready > 0 and not q.paused and exists (select from holdfast_queue.first_ready(the_queue, 1)) then
      delete from holdfast_queue.waits where queue = the_queue and kind = 'work';
      has_work := found;
    end if;
    with gone as (delete from holdfast_queue.waits where queue = the_queue and woken returning kind, id)
    select json_agg(id) filter (where kind = 'events') as ids, json_agg(id) filter (where kind = 'revoked') as workers
      into news from gone;
    if has_work or is_soon or news.ids is not null or news.workers is not null then
      message := json_build_array(q.name, has_work, is_soon, news.ids, news.workers)::text;
      -- A message has room for so much.
      if octet_length(message) > 7900 then
        message := json_build_array(q.name, true, true, 'all', 'all')::text;
      end if;
      perform pg_notify(holdfast_queue.channel(), message);
    end if;
  elsif is_soon then
    perform pg_notify(holdfast_queue.channel(), json_build_array(q.name, false, true, null, null)::text);
  end if;
  return q;
end
$$;

create function holdfast_queue.run(
  the_name text, the_max_ended bigint, the_max_failed bigint, the_max_events int, the_wait_ms int, calls text
) returns text
  language plpgsql
  -- Plans are made once, when there may be hardly any tasks: they are to look for what they need, not through everything.
  set lock_timeout = '1s' set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
  set enable_mergejoin = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  q holdfast_queue.queues := holdfast_queue.open(the_name, the_max_events, the_wait_ms, true);
  now bigint := holdfast_queue.now_ms();
  the_calls jsonb := calls::jsonb;
  answers text[] := '{}';
begin
  for place in 0..jsonb_array_length(the_calls) - 1 loop
    answers := answers || coalesce(holdfast_queue.call(q.queue, now, the_calls -> place), 'null');
  end loop;
  q := holdfast_queue.close(q.queue, now);
  if q.completed + q.cancelled > the_max_ended or q.failed > the_max_failed then
    perform holdfast_queue.crowd_out(q.queue, q.completed + q.cancelled - the_max_ended, least(1000, the_max_ended / 100),
      q.failed - the_max_failed);
    q := holdfast_queue.close(q.queue, now);
  end if;
  -- Those who wait now are told when something happens next.
  if answers && array['"wait"'] then
    update holdfast_queue.queues set told = next_due where queue = q.queue;
    answers := array_replace(answers, '"wait"',
      case when q.next_due = 9007199254740991 then '-1' else greatest(0, q.next_due - now)::text end);
  end if;
  return '[' || array_to_string(answers, ',') || ']';
end
$$;

-- One call: a verb and its words. Answers JSON; '"wait"' for one who waits from now on.
create function holdfast_queue.call(the_queue int, now bigint, c jsonb) returns text language plpgsql as $$
#variable_conflict use_column
declare
  verb text := c ->> 0;
  completed text := '1';
  settled text;
  claimed text := '[]';
begin
  if verb = 'settle' then
    if c -> 1 <> 'null' then
      completed := holdfast_queue.complete(the_queue, now, c -> 1);
    end if;
    if c -> 2 <> '[]' then
      select string_agg(holdfast_queue.settle(the_queue, now, v), ',' order by place) into settled
        from jsonb_array_elements(c -> 2) with ordinality u(v, place);
    end if;
    if c -> 3 <> 'null' then
      claimed := holdfast_queue.claim(the_queue, now, c -> 3 ->> 0, (c -> 3 ->> 1)::int, (c -> 3 ->> 2)::bigint);
    end if;
    return '[' || completed || ',[' || coalesce(settled, '') || '],' || claimed || ']';
  elsif verb = 'renew' then
    return holdfast_queue.renew(the_queue, now, (c ->> 1)::bigint, c -> 2);
  elsif verb = 'get' then
    return holdfast_queue.get(the_queue, c -> 1);
  elsif verb = 'input' then
    return holdfast_queue.input(the_queue, c ->> 1);
  elsif verb = 'result' then
    return holdfast_queue.result(the_queue, c ->> 1);
  elsif verb = 'events' then
    return holdfast_queue.events_after(the_queue, c ->> 1, (c ->> 2)::int, (c ->> 3)::int);
  elsif verb = 'report' then
    return holdfast_queue.report(the_queue, now, c -> 1);
  elsif verb = 'checkpoint' then
    return holdfast_queue.checkpoint(the_queue, now, c ->> 1, (c ->> 2)::bigint, c -> 3);
  elsif verb = 'signal' then
    return holdfast_queue.signal(the_queue, now, c ->> 1, c -> 2);
  elsif verb = 'checkpoints' then
    return holdfast_queue.checkpoints_of(the_queue, c ->> 1);
  elsif verb = 'children' then
    return holdfast_queue.children(the_queue, c ->> 1);
  elsif verb = 'cancel' then
    return holdfast_queue.cancel(the_queue, now, c ->> 1, c ->> 2, c -> 3);
  elsif verb = 'redrive' then
    return holdfast_queue.redrive(the_queue, now, c -> 1);
  elsif verb = 'discard' then
    return holdfast_queue.discard(the_queue, c -> 1);
  elsif verb = 'deadLetters' then
    return holdfast_queue.dead_letters(the_queue, (c ->> 1)::int, c ->> 2);
  elsif verb = 'stats' then
    return holdfast_queue.stats(the_queue);
  elsif verb = 'meter' then
    return holdfast_queue.meter(the_queue);
  elsif verb = 'list' then
    return holdfast_queue.list(the_queue, c ->> 1, (c ->> 2)::int);
  elsif verb = 'pause' then
    return holdfast_queue.pause(the_queue, (c ->> 1)::boolean);
  elsif verb = 'setSchedule' then
    return holdfast_queue.set_schedule(the_queue, c ->> 1, c ->> 2, (c ->> 3)::bigint);
  elsif verb = 'removeSchedule' then
    return holdfast_queue.remove_schedule(the_queue, c ->> 1);
  elsif verb = 'schedules' then
    return holdfast_queue.schedules_of(the_queue);
  elsif verb = 'waitForWork' then
    if exists (select from holdfast_queue.queues where queue = the_queue and ready > 0 and not paused
      and exists (select from holdfast_queue.first_ready(the_queue, 1)))
    then
      return 'true';
    end if;
    insert into holdfast_queue.waits (queue, kind, id) values (the_queue, 'work', '') on conflict do nothing;
    return '"wait"';
  elsif verb = 'waitForEvents' then
    if not exists (select from holdfast_queue.tasks where queue = the_queue and id = c ->> 1 and seq <= (c ->> 2)::int) then
      return 'true';
    end if;
    insert into holdfast_queue.waits (queue, kind, id) values (the_queue, 'events', c ->> 1)
      on conflict (queue, kind, id) do nothing;
    return '"wait"';
  elsif verb = 'takeRevoked' then
    return holdfast_queue.take_revoked(the_queue, c ->> 1);
  elsif verb = 'look' then
    return '"wait"';
  end if;
  raise exception 'holdfast_queue knows no verb %', verb;
end
$$;

-- Completes a task in its worker's transaction, without a lock on its queue. Answers as settle does.
create function holdfast_queue.complete_within(
  the_name text, the_wait_ms int, the_id text, the_fence bigint, the_result text, the_bytes text
) returns text language plpgsql set lock_timeout = '1s' as $$
#variable_conflict use_column
declare
  its_queue int := (select queue from holdfast_queue.queues where name = the_name);
  now bigint;
begin
  perform set_config('lock_timeout', the_wait_ms || 'ms', true);
  -- As a block, which lets go of a task that it has locked but not completed: others claim without asking whether they may.
  begin
    perform from holdfast_queue.tasks where queue = its_queue and id = the_id and fence = the_fence for update;
    now := holdfast_queue.now_ms();
    update holdfast_queue.tasks set state = LEAVING, alarm = -1, finished_at = now, result = the_result,
      result_bytes = decode(the_bytes, 'base64')
      where queue = its_queue and id = the_id and fence = the_fence and state = RUNNING and coalesce(due, 0) > now;
    if not found then
      raise no_data_found;
    end if;
  exception when no_data_found then
    return holdfast_queue.refusal(its_queue, the_id, the_fence, false);
  end;
  perform pg_notify(holdfast_queue.channel(), json_build_array(the_name, false, true, null, null)::text);
  return '1';
end
$$;

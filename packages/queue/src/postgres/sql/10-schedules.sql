-- What is to be added by itself, once somebody asks for it.

create function holdfast_queue.set_schedule(the_queue int, the_key text, the_text text, the_next_at bigint) returns text
  language plpgsql as $$
#variable_conflict use_column
begin
  update holdfast_queue.schedules set text = the_text, next_at = the_next_at
    where queue = the_queue and key = the_key and text <> the_text;
  if found or exists (select from holdfast_queue.schedules where queue = the_queue and key = the_key) then
    return 'true';
  elsif (select count(*) from holdfast_queue.schedules where queue = the_queue) >= 1000 then
    return 'false';
  end if;
  insert into holdfast_queue.schedules (queue, key, text, next_at) values (the_queue, the_key, the_text, the_next_at);
  return 'true';
end
$$;

create function holdfast_queue.remove_schedule(the_queue int, the_key text) returns text language plpgsql as $$
#variable_conflict use_column
begin
  delete from holdfast_queue.schedules where queue = the_queue and key = the_key;
  return case when found then 'true' else 'false' end;
end
$$;

create function holdfast_queue.schedules_of(the_queue int) returns text language plpgsql as $$
#variable_conflict use_column
begin
  return (select coalesce(json_agg(json_build_array(key, text, next_at) order by next_at, key), '[]')::text
    from holdfast_queue.schedules where queue = the_queue);
end
$$;

-- Adds a task and moves its schedule on, if that is still this one.
create function holdfast_queue.fire(
  the_name text, the_max_events int, the_wait_ms int, the_limit bigint, the_key text, the_text text, the_at bigint,
  the_next_at bigint, kinds text, ids text, kind text, inputs text, bytes text, keys text, metas text
) returns text language plpgsql set lock_timeout = '1s' as $$
#variable_conflict use_column
declare
  q holdfast_queue.queues := holdfast_queue.open(the_name, the_max_events, the_wait_ms, true);
  answer text;
begin
  if not exists (select from holdfast_queue.schedules
    where queue = q.queue and key = the_key and text = the_text and next_at = the_at)
  then
    return '"stale"';
  end if;
  answer := holdfast_queue.enqueue(the_name, the_max_events, the_wait_ms, false, the_limit, false, kinds, ids, kind, inputs,
    bytes, keys, metas);
  if answer like '{%' then
    return '"full"';
  end if;
  update holdfast_queue.schedules set next_at = the_next_at where queue = q.queue and key = the_key;
  return '"fired"';
end
$$;

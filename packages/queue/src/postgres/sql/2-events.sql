-- What has happened to tasks.

-- Notes one event. Answers the task as it is then, which its caller is to save.
create function holdfast_queue.noted(t holdfast_queue.tasks, the_at bigint, the_body text) returns holdfast_queue.tasks
  language plpgsql as $$
#variable_conflict use_column
begin
  if t.flat then
    perform holdfast_queue.store_flat_events(t.queue, array[t.id]);
    t.flat := false;
  end if;
  t.seq := t.seq + 1;
  insert into holdfast_queue.events (queue, id, seq, at, body) values (t.queue, t.id, t.seq, the_at, the_body);
  perform holdfast_queue.trim_events(t.queue, t.id, t.seq);
  perform holdfast_queue.wake(t.queue, array[t.id]);
  return t;
end
$$;

-- Stores the events of flat tasks, as they are known so far, so that others can follow.
create function holdfast_queue.store_flat_events(the_queue int, the_ids text[]) returns void language plpgsql as $$
#variable_conflict use_column
begin
  insert into holdfast_queue.events (queue, id, seq, at, body)
    select t.queue, t.id, n.seq,
      case n.seq when 1 then t.added_at when 2 then t.started_at else t.finished_at end,
      case n.seq when 1 then '{"type":"enqueued"}' when 2 then '{"type":"started","attempt":1}'
        else '{"type":"completed"}' end
    from holdfast_queue.tasks t, generate_series(1, t.seq) n(seq)
    where t.queue = the_queue and t.id = any(the_ids) and t.flat;
end
$$;

create function holdfast_queue.trim_events(the_queue int, the_id text, the_seq int) returns void language plpgsql as $$
#variable_conflict use_column
declare
  too_old int := the_seq - current_setting('holdfast.max_events')::int;
begin
  if too_old > 0 then
    delete from holdfast_queue.events where queue = the_queue and id = the_id and seq <= too_old;
  end if;
end
$$;

-- Of tasks that may have too many: there may be none.
create function holdfast_queue.trim_all(the_queue int, the_ids text[]) returns void language plpgsql as $$
#variable_conflict use_column
begin
  if the_ids is not null then
    perform holdfast_queue.trim_events(queue, id, seq) from holdfast_queue.tasks where queue = the_queue and id = any(the_ids);
  end if;
end
$$;

-- Those who wait for events of these tasks are told at the end of the run.
create function holdfast_queue.wake(the_queue int, the_ids text[]) returns void language plpgsql as $$
#variable_conflict use_column
begin
  if exists (select from holdfast_queue.waits where queue = the_queue and kind = 'events') then
    update holdfast_queue.waits set woken = true where queue = the_queue and kind = 'events' and id = any(the_ids);
  end if;
end
$$;

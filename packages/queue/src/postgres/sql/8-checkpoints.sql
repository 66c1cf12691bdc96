-- What tasks remember, and are told.

create function holdfast_queue.put_checkpoint(
  t holdfast_queue.tasks, now bigint, the_name text, the_value text, the_bytes text, the_body text
) returns holdfast_queue.tasks language plpgsql as $$
#variable_conflict use_column
begin
  insert into holdfast_queue.checkpoints (queue, id, name, num, value, value_bytes)
    values (t.queue, t.id, the_name, t.checkpoints + 1, the_value, decode(the_bytes, 'base64')) on conflict do nothing;
  if found then
    t.checkpoints := t.checkpoints + 1;
    t := holdfast_queue.noted(t, now, the_body);
  end if;
  return t;
end
$$;

-- Under a lease: [[name, value, bytes, event], …].
create function holdfast_queue.checkpoint(the_queue int, now bigint, the_id text, the_fence bigint, the_list jsonb) returns text
  language plpgsql as $$
declare
  t holdfast_queue.tasks := holdfast_queue.held(the_queue, the_id, the_fence, now);
  c jsonb;
begin
  if t.id is null then
    return holdfast_queue.refusal(the_queue, the_id, the_fence, false);
  end if;
  for c in select v from jsonb_array_elements(the_list) with ordinality as u(v, place) order by place loop
    t := holdfast_queue.put_checkpoint(t, now, c ->> 0, c ->> 1, c ->> 2, c ->> 3);
  end loop;
  perform holdfast_queue.save(t);
  return '1';
end
$$;

-- From outside, in the same form.
create function holdfast_queue.signal(the_queue int, now bigint, the_id text, c jsonb) returns text language plpgsql as $$
#variable_conflict use_column
declare
  t holdfast_queue.tasks;
begin
  select * into t from holdfast_queue.tasks where queue = the_queue and id = the_id for update;
  if t.id is null then
    return '"unknown"';
  elsif t.state >= COMPLETED then
    return '"ended"';
  elsif exists (select from holdfast_queue.checkpoints where queue = the_queue and id = the_id and name = c ->> 0) then
    return '"duplicate"';
  end if;
  t := holdfast_queue.put_checkpoint(t, now, c ->> 0, c ->> 1, c ->> 2, c ->> 3);
  if t.state = WAITING and c ->> 0 = any(t.wait_events) then
    perform holdfast_queue.make_ready(t, now);
  else
    perform holdfast_queue.save(t);
  end if;
  return '"delivered"';
end
$$;

create function holdfast_queue.checkpoints_of(the_queue int, the_id text) returns text language plpgsql as $$
#variable_conflict use_column
begin
  return (select coalesce(json_agg(json_build_array(name, value, encode(value_bytes, 'base64')) order by num), '[]')::text
    from holdfast_queue.checkpoints where queue = the_queue and id = the_id);
end
$$;

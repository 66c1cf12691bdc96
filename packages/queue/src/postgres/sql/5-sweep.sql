-- What happens by itself.

-- Does what is due by now, some of it at a time: the rest is done by the next call.
create function holdfast_queue.sweep(the_queue int, now bigint) returns void language plpgsql as $$
#variable_conflict use_column
declare
  n bigint;
begin
  for round in 1..5 loop
    n := 0;
    -- Most of what is due is a delay that is over.
    with due as (
      select ctid from holdfast_queue.tasks
        where queue = the_queue and due is not null and state between SCHEDULED and RUNNING and due <= now
          and state = SCHEDULED and grp is null and expires_at is null
        order by due limit 1000 for update skip locked
    ), moved as (
      update holdfast_queue.tasks t set state = READY, due = null, wake_at = null from due where t.ctid = due.ctid
        returning 1
    )
    select count(*) into n from moved;
    if n > 0 then
      perform holdfast_queue.count_moves(the_queue, SCHEDULED, READY, n, null);
    end if;
    n := n + holdfast_queue.happen_in_order(the_queue, now, 200);
    n := n + holdfast_queue.forget(the_queue, array(select id from holdfast_queue.tasks
      where queue = the_queue and state in (COMPLETED, CANCELLED) and due <= now order by due limit 500));
    n := n + holdfast_queue.forget(the_queue, array(select id from holdfast_queue.tasks
      where queue = the_queue and state = FAILED and due <= now order by due limit 500));
    exit when n = 0;
  end loop;
  perform holdfast_queue.find_next_due(the_queue, now);
end
$$;

create function holdfast_queue.find_next_due(the_queue int, now bigint) returns void language plpgsql as $$
#variable_conflict use_column
declare
  soonest bigint;
begin
  soonest := least(
    (select due from holdfast_queue.tasks where queue = the_queue and due is not null and state between SCHEDULED and RUNNING
      order by due limit 1),
    (select due from holdfast_queue.tasks where queue = the_queue and state in (COMPLETED, CANCELLED) order by due limit 1),
    (select due from holdfast_queue.tasks where queue = the_queue and state = FAILED order by due limit 1),
    (select due from holdfast_queue.groups where queue = the_queue and due is not null order by due limit 1),
    9007199254740991);
  -- What is due but was not done (there was too much, or it is locked) is looked at soon.
  update holdfast_queue.queues set next_due = case when soonest <= now then now + 20 else soonest end where queue = the_queue;
end
$$;

-- Lets up to so many things happen, one after the other and each at its own time, since one may be what another depends on.
create function holdfast_queue.happen_in_order(the_queue int, now bigint, the_max int) returns int language plpgsql as $$
#variable_conflict use_column
declare
  t holdfast_queue.tasks;
  g record;
begin
  for n in 0..the_max - 1 loop
    -- One that is locked is being completed by a transaction: its lease is not lost unless that fails.
    select * into t from holdfast_queue.tasks
      where queue = the_queue and due is not null and state between SCHEDULED and RUNNING and due <= now
      order by due, num limit 1 for update skip locked;
    select name, due into g from holdfast_queue.groups where queue = the_queue and due is not null and due <= now
      order by due limit 1;
    if t.id is null and g.name is null then
      return n;
    elsif t.id is null or g.due < t.due then
      perform holdfast_queue.regroup(the_queue, g.name, g.due);
    elsif t.expires_at <= t.due then
      perform holdfast_queue.cancel_family(t, t.due, 'expired', '{"type":"cancelled","reason":"expired"}');
    elsif t.state = RUNNING then
      perform holdfast_queue.lose_lease(t, t.due);
    else
      perform holdfast_queue.make_ready(t, t.due);
    end if;
  end loop;
  return the_max;
end
$$;

-- Those that would go next go early when there are more than are to be kept.
create function holdfast_queue.crowd_out(the_queue int, too_many bigint, too_many_failed bigint) returns void language plpgsql as $$
#variable_conflict use_column
begin
  if too_many > 0 then
    perform holdfast_queue.forget(the_queue, array(select id from holdfast_queue.tasks
      where queue = the_queue and state in (COMPLETED, CANCELLED) order by due limit least(too_many, 5000)));
  end if;
  if too_many_failed > 0 then
    perform holdfast_queue.forget(the_queue, array(select id from holdfast_queue.tasks
      where queue = the_queue and state = FAILED order by due limit least(too_many_failed, 5000)));
  end if;
end
$$;

-- Sees to what transactions have left behind, in the order in which they did it.
create function holdfast_queue.admit(the_queue int, now bigint) returns void language plpgsql as $$
#variable_conflict use_column
declare
  t holdfast_queue.tasks;
  ids text[];
begin
  ids := array(select id from holdfast_queue.tasks where queue = the_queue and state in (ENTERING, LEAVING) and state = ENTERING
    order by num limit 1000);
  if cardinality(ids) > 0 then
    perform holdfast_queue.take_in(the_queue, ids, now);
  end if;
  for t in select * from holdfast_queue.tasks where queue = the_queue and state in (ENTERING, LEAVING) and state = LEAVING
    order by finished_at limit 1000
  loop
    t.by_tx := true;
    perform holdfast_queue.finish(t, COMPLETED, t.finished_at, '{"type":"completed"}', now);
  end loop;
end
$$;

-- What happens by itself.

-- Does what is due by now, some of it at a time, and for no longer than others can wait: the rest is done by the next call.
create function holdfast_queue.sweep(the_queue int, now bigint) returns void language plpgsql as $$
#variable_conflict use_column
declare
  began timestamptz := clock_timestamp();
  n bigint;
begin
  -- Nothing happens before all are watched to which it could happen.
  if not holdfast_queue.watch(the_queue, now) then
    update holdfast_queue.queues set next_due = now where queue = the_queue;
    return;
  end if;
  for round in 1..100 loop
    n := holdfast_queue.end_delays(the_queue, now) + holdfast_queue.lose_leases(the_queue, now) + holdfast_queue.expire(the_queue, now);
    if n < 300 then
      n := n + holdfast_queue.happen_in_order(the_queue, now, 50);
    end if;
    n := n + holdfast_queue.forget_kept(the_queue, false, now, 300) + holdfast_queue.forget_kept(the_queue, true, now, 300);
    exit when n = 0 or round > 1 and clock_timestamp() > began + interval '100 ms';
  end loop;
  perform holdfast_queue.find_next_due(the_queue, now);
end
$$;

-- The three below do many at a time of what mostly happens, and concerns nobody else: one at a time, each would cost as much as
-- all that have gone before it in the same transaction. A group without a rate is as its tasks are, whatever the order.

-- Delays and waits that are over, but for those that also wait for children.
create function holdfast_queue.end_delays(the_queue int, now bigint) returns bigint language plpgsql as $$
#variable_conflict use_column
declare
  n record;
begin
  with due as (
    select ctid, state as before, due as at from holdfast_queue.tasks t
      where queue = the_queue and alarm between 0 and now and (state = SCHEDULED or state = WAITING and wait_children is not true)
        and coalesce(expires_at > due, true) and holdfast_queue.has_no_rate(queue, grp)
      order by alarm limit 300 for update skip locked
  ), moved as (
    update holdfast_queue.tasks t set state = case when grp is null then READY else HELD_BACK end,
      -- Before its first start it could not have been started until now.
      since = case when before = WAITING then at else since end, due = expires_at, alarm = expires_at, wake_at = null,
      wait_events = null, wait_children = null, stray = case when grp is null then true end
      from due where t.ctid = due.ctid returning before, grp, t.due
  )
  select count(*) filter (where before = SCHEDULED) as scheduled, count(*) filter (where before = WAITING) as waiting,
    min(due) as due, array_agg(grp) filter (where grp is not null) as groups into n from moved;
  if n.scheduled + n.waiting > 0 then
    perform holdfast_queue.count_moves(the_queue, SCHEDULED, READY, n.scheduled, n.due);
    perform holdfast_queue.count_moves(the_queue, WAITING, READY, n.waiting, n.due);
    perform holdfast_queue.regroup_all(the_queue, n.groups, now);
  end if;
  return n.scheduled + n.waiting;
end
$$;

-- Leases that are over, of tasks that may be tried again and have no parent.
create function holdfast_queue.lose_leases(the_queue int, now bigint) returns bigint language plpgsql as $$
#variable_conflict use_column
declare
  -- One that is locked is being completed by a transaction: its lease is not lost unless that fails.
  ids text[] := array(
    select id from holdfast_queue.tasks
      where queue = the_queue and alarm between 0 and now and state = RUNNING and losses < max_losses and parent is null
        and holdfast_queue.has_no_rate(queue, grp)
      order by alarm limit 300 for update skip locked);
  n record;
begin
  if ids = '{}' then
    return 0;
  end if;
  perform holdfast_queue.store_flat_events(the_queue, ids);
  with lost as (
    update holdfast_queue.tasks t set state = case when grp is null then READY else HELD_BACK end, losses = losses + 1, seq = seq + 1,
      flat = false, lined = false, due = null, alarm = null, wake_at = null, wait_events = null, wait_children = null,
      stray = case when grp is null then true end
      from (select id as its_id, due as at from holdfast_queue.tasks where queue = the_queue and id = any(ids)) o
      where t.queue = the_queue and t.id = its_id returning id, seq, grp, at
  ), noted as (
    insert into holdfast_queue.events (queue, id, seq, at, body) select the_queue, id, seq, at, '{"type":"lease_lost"}' from lost
  )
  select array_agg(grp) filter (where grp is not null) as groups, array_agg(id) filter (where seq > 9) as long into n from lost;
  perform holdfast_queue.count_moves(the_queue, RUNNING, READY, cardinality(ids), null);
  perform holdfast_queue.trim_all(the_queue, n.long);
  perform holdfast_queue.wake(the_queue, ids);
  perform holdfast_queue.regroup_all(the_queue, n.groups, now);
  return cardinality(ids);
end
$$;

-- Tasks whose time is over before they were started, that have no parent and no live children.
create function holdfast_queue.expire(the_queue int, now bigint) returns bigint language plpgsql as $$
#variable_conflict use_column
declare
  ids text[] := array(
    select id from holdfast_queue.tasks t
      where queue = the_queue and alarm between 0 and now and state < RUNNING and expires_at <= due and parent is null
        and holdfast_queue.has_no_rate(queue, grp)
        and not exists (select from holdfast_queue.tasks c
          where c.queue = the_queue and c.parent = t.id and c.parent is not null and c.parent_born = t.born and c.state between SCHEDULED and LEAVING)
      order by alarm limit 300 for update skip locked);
begin
  if ids <> '{}' then
    perform holdfast_queue.cancel_all(the_queue, ids, null, 'expired', '{"type":"cancelled","reason":"expired"}', now);
  end if;
  return cardinality(ids);
end
$$;

create function holdfast_queue.find_next_due(the_queue int, now bigint) returns void language plpgsql as $$
#variable_conflict use_column
declare
  soonest bigint;
begin
  soonest := least(
    (select alarm from holdfast_queue.tasks where queue = the_queue and alarm >= 0 order by alarm limit 1),
    (select watch_due from holdfast_queue.queues where queue = the_queue),
    (select due from holdfast_queue.kept where queue = the_queue and not failed order by due limit 1),
    (select due from holdfast_queue.kept where queue = the_queue and failed order by due limit 1),
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
  reached bigint := 0;
begin
  for n in 0..the_max - 1 loop
    select * into t from holdfast_queue.tasks
      where queue = the_queue and alarm between reached and now
      order by alarm, num limit 1 for update skip locked;
    select name, due into g from holdfast_queue.groups where queue = the_queue and due is not null and due <= now
      order by due limit 1;
    -- Nothing makes anything happen before itself, and to look past what has happened already takes its time.
    reached := coalesce(t.alarm, reached);
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

-- Once the first lease is over on a task of the line that nobody watches, sees to it that all are watched that run: that is
-- much cheaper than to note each lease, since few tasks run for so long. Answers whether it came to the end of the line.
create function holdfast_queue.watch(the_queue int, now bigint) returns boolean language plpgsql as $$
#variable_conflict use_column
declare
  ids text[] := (select unwatched from holdfast_queue.queues where queue = the_queue and watch_due <= now);
  at_most int := 2000;
  l holdfast_queue.levels;
  v record;
begin
  if ids is null then
    return true;
  end if;
  for l in select * from holdfast_queue.levels
    where queue = the_queue and (tail_turn, tail_num) < (head_turn, head_num) order by rank
  loop
    select count(*) as tasks, max(array[turn, num]) as last,
      array_agg(id) filter (where state = RUNNING and alarm is null) as running into v
    from (
      select id, turn, num, state, alarm from holdfast_queue.tasks
        where queue = the_queue and rank = l.rank and lined
          and (turn, num) > (l.tail_turn, l.tail_num) and (turn, num) <= (l.head_turn, l.head_num)
        order by turn, num limit at_most
    ) t;
    ids := ids || v.running;
    at_most := at_most - v.tasks;
    update holdfast_queue.levels set
      tail_turn = case when at_most > 0 then head_turn else v.last[1] end,
      tail_num = case when at_most > 0 then head_num else v.last[2] end
      where queue = the_queue and rank = l.rank;
    exit when at_most = 0;
  end loop;
  with running as (
    select ctid from holdfast_queue.tasks where queue = the_queue and id = any(ids) and state = RUNNING and lined
      for update skip locked
  )
  update holdfast_queue.tasks t set alarm = due from running where t.ctid = running.ctid;
  ids := array(select id from holdfast_queue.tasks
    where queue = the_queue and id = any(ids) and state = RUNNING and lined and alarm is null);
  -- One that is locked is being completed by a transaction; if that fails, its lease ends a little late.
  update holdfast_queue.queues set unwatched = ids,
    watch_due = case when at_most = 0 then now when cardinality(ids) > 0 then now + 50 else 9007199254740991 end
    where queue = the_queue;
  return at_most > 0;
end
$$;

-- Forgets up to so many ended tasks that are due by then, those first that go first.
create function holdfast_queue.forget_kept(the_queue int, are_failed boolean, the_due bigint, the_max bigint) returns bigint
  language plpgsql as $$
#variable_conflict use_column
declare
  k holdfast_queue.kept;
  these text[];
  doomed text[] := '{}';
begin
  for k in select * from holdfast_queue.kept where queue = the_queue and failed = are_failed and due <= the_due
    order by due, num
  loop
    these := k.ids[:the_max::int - cardinality(doomed)];
    doomed := doomed || these;
    if cardinality(these) < cardinality(k.ids) then
      update holdfast_queue.kept set ids = k.ids[cardinality(these) + 1:]
        where queue = the_queue and failed = are_failed and due = k.due and num = k.num;
    else
      delete from holdfast_queue.kept where queue = the_queue and failed = are_failed and due = k.due and num = k.num;
    end if;
    exit when cardinality(doomed) = the_max;
  end loop;
  return holdfast_queue.forget(the_queue, doomed);
end
$$;

-- Those that would go next go early when there are more than are to be kept; `the_room` more, so that not each that ends has to
-- make room then.
create function holdfast_queue.crowd_out(the_queue int, too_many bigint, the_room bigint, too_many_failed bigint) returns void
  language plpgsql as $$
#variable_conflict use_column
begin
  if too_many > 0 then
    perform holdfast_queue.forget_kept(the_queue, false, 9007199254740991, least(too_many + the_room, 5000));
  end if;
  if too_many_failed > 0 then
    perform holdfast_queue.forget_kept(the_queue, true, 9007199254740991, least(too_many_failed, 5000));
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
  ids := array(select id from holdfast_queue.tasks where queue = the_queue and alarm = -1 and state = ENTERING
    order by num limit 1000);
  if cardinality(ids) > 0 then
    perform holdfast_queue.take_in(the_queue, ids, now);
  end if;
  for t in select * from holdfast_queue.tasks where queue = the_queue and alarm = -1 and state = LEAVING
    order by finished_at limit 1000
  loop
    t.by_tx := true;
    perform holdfast_queue.finish(t, COMPLETED, t.finished_at, '{"type":"completed"}', now);
  end loop;
end
$$;

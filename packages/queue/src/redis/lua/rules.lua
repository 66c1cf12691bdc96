-- How tasks change: the heart of the inner function.

-- What is to be written: member to score, by state; `false` takes out. And those of which more come at once.
local by_state = { [SCHEDULED] = {}, [WAITING] = {}, [DEAD] = {}, [CANCELLED] = {} }
local calendars = { [RUNNING] = working().running, [COMPLETED] = working().completed }
local enter, exit, flush_calendar = working().enter, working().exit, working().flush_calendar
local keys_by_state = { [SCHEDULED] = SCHEDULED_BY, [WAITING] = WAITING_BY, [RUNNING] = RUNNING_BY,
  [COMPLETED] = COMPLETED_BY, [DEAD] = BURIED_BY, [CANCELLED] = CANCELLED_BY }

local function flush_state(state)
  local calendar = calendars[state]
  if calendar then
    flush_calendar(calendar)
    calendar[PUTS], calendar[TAKES] = {}, {}
  else
    flush(keys_by_state[state], by_state[state], 'ZADD', 'ZREM', true)
    by_state[state] = {}
  end
end

local function flush_states()
  for state in pairs(keys_by_state) do flush_state(state) end
end

local function enter_state(state, id, due)
  if state == IS_READY then return end
  at(due)
  if calendars[state] then enter(calendars[state], id, due) else by_state[state][id] = due end
end

local function exit_state(state, id, due)
  if state == IS_READY then return end
  if calendars[state] then exit(calendars[state], id, due) else by_state[state][id] = false end
end

local function move(id, t, state, due)
  local before = t[STATE]
  counts[before] = counts[before] - 1
  counts[state] = counts[state] + 1
  exit_state(before, id, t[DUE])
  enter_state(state, id, due)
  t[STATE], t[DUE] = state, due
  if state ~= RUNNING then t[WORKER] = '' end
  dirty[id] = true
end

local function make_ready(id, t, at_ms)
  if t[STATE] == WAITING then
    set_rest(t, EVENTS, nil)
    set_rest(t, FOR_CHILDREN, nil)
    -- Before its first start it could not have been started until now.
    if t[FENCE] == 0 then t[STARTED] = at_ms end
  end
  move(id, t, IS_READY, 0)
  if may_run(id, t) then offer(id, t) end
end

local function make_ready_in(delay, id, t)
  if delay > 0 then move(id, t, SCHEDULED, now + delay) else make_ready(id, t, now) end
end

local function wait(id, t, events, for_children, due)
  set_rest(t, EVENTS, events)
  set_rest(t, FOR_CHILDREN, for_children)
  move(id, t, WAITING, due)
end

local function has_one_of(id, events)
  for _, event in ipairs(events or {}) do
    if part(checkpoint_field(id, event)) then return true end
  end
  return false
end

-- Makes a task ready if it waits and what it waits for has happened.
local function unless_it_waits(id, t, at_ms)
  if t[STATE] ~= WAITING then return end
  local fields = rest_of(t)
  if has_one_of(id, fields[EVENTS]) or (fields[FOR_CHILDREN] and (fields[OPEN] or 0) == 0) then make_ready(id, t, at_ms) end
end

-- Families.

local function born(t) return rest_of(t)[BORN] or t[ORDER] end

local function children_of(id, t)
  if not rest_of(t)[OPEN] then return {} end
  return members(CHILDREN, prefix_of(id .. ':' .. whole(born(t))), 0, -1)
end

local function child_member(id, t)
  local fields = rest_of(t)
  return member_of(prefix_of(fields[PARENT] .. ':' .. whole(fields[PARENT_BORN])), born(t), id)
end

local function adopt(parent, id, t)
  set_rest(t, PARENT_BORN, born(parent))
  set_rest(t, COUNTED, 1)
  set_rest(parent, OPEN, (rest_of(parent)[OPEN] or 0) + 1)
  dirty[rest_of(t)[PARENT]] = true
  call('ZADD', CHILDREN, 0, child_member(id, t))
end

local function tell_parent(t, at_ms)
  local fields = rest_of(t)
  if not fields[COUNTED] then return end
  set_rest(t, COUNTED, nil)
  local id = fields[PARENT]
  local parent = find(id)
  if not parent or born(parent) ~= fields[PARENT_BORN] then return end
  set_rest(parent, OPEN, rest_of(parent)[OPEN] - 1)
  dirty[id] = true
  unless_it_waits(id, parent, at_ms)
end

-- Ends.

local function leave(id, t, at_ms)
  if t[STATE] == IS_READY then withdraw(id, t) end
  if t[AT_START] == 0 and t[AT_END] == 0 then return end
  local fields = rest_of(t)
  if fields[EXPIRES] and t[FENCE] == 0 then call('ZREM', ALARMS, 't' .. id) end
  if fields[KEY] and call('HGET', DEDUP, fields[KEY]) == id then call('HDEL', DEDUP, fields[KEY]) end
  leave_group(id, t)
  tell_parent(t, at_ms)
end

local function finish(id, t, state, at_ms)
  leave(id, t, at_ms)
  move(id, t, state, at_ms + t[KEEP])
  t[FINISHED] = at_ms
end

local function drop_input(id, t)
  if t[BODY] == '' then set_part('i' .. id, false) end
  t[BODY] = ''
end

local function succeed(id, t, result)
  local is_whole
  drop_input(id, t)
  t[BODY], is_whole = short(result)
  if not is_whole then set_part('r' .. id, result) end
  counts[COMPLETIONS], counts[RAN] = counts[COMPLETIONS] + 1, counts[RAN] + now - t[STARTED]
  t[FINISHED] = now
  if t[FLAT] == 1 and t[SEQ] == 2 then
    t[SEQ] = 3
    wake(id)
  else
    happened(id, t, now, '"completed"')
  end
  finish(id, t, COMPLETED, now)
end

local function bury(id, t, at_ms, failure)
  set_rest(t, FAILURE, failure)
  counts[FAILS] = counts[FAILS] + 1
  happened(id, t, at_ms, '"failed","error":' .. failure)
  leave(id, t, at_ms)
  move(id, t, DEAD, at_ms + t[KEEP_FAILED])
  t[FINISHED] = at_ms
  ends = ends + 1
  call('ZADD', FAILED, whole(ends), id)
end

local function lose_lease(id, t, at_ms)
  t[LOSSES] = t[LOSSES] + 1
  happened(id, t, at_ms, '"lease_lost"')
  if t[LOSSES] <= t[MAX_LOSSES] then return make_ready(id, t, at_ms) end
  bury(id, t, at_ms, cjson.encode({
    code = 'LEASE_LOST',
    message = 'its workers stopped renewing their leases: they died, hung, or could not reach the store',
  }))
end

local function forget(id, t)
  counts[t[STATE]] = counts[t[STATE]] - 1
  if t[STATE] == DEAD then call('ZREM', FAILED, id) end
  exit_state(t[STATE], id, t[DUE])
  if t[AT_END] == 1 and rest_of(t)[PARENT] then call('ZREM', CHILDREN, child_member(id, t)) end
  drop_parts(id, t)
  records[id], dirty[id] = false, true
  wake(id)
end

-- Cancels.

local function revoke(worker, id, its_fence, reason)
  local known = call('HGET', REVOKED, worker)
  local leases = known and cjson.decode(known) or {}
  if not known and call('HLEN', REVOKED) >= MAX_WORKERS then
    call('HDEL', REVOKED, call('HRANDFIELD', REVOKED))
  end
  if #leases >= MAX_REVOKED then table.remove(leases, 1) end
  leases[#leases + 1] = { id, whole(its_fence), reason }
  call('HSET', REVOKED, worker, cjson.encode(leases))
  news.workers = news.workers or {}
  table.insert(news.workers, worker)
end

-- A task, its live children, and theirs.
local function cancel_family(root, at_ms, reason, reason_text)
  local doomed, index = { root }, 1
  while doomed[index] do
    local id = doomed[index]
    local t = find_live(id)
    if t then
      local children = children_of(id, t)
      fetch(children)
      for _, child in ipairs(children) do doomed[#doomed + 1] = child end
      if t[STATE] == RUNNING then revoke(t[WORKER], id, t[FENCE], reason) end
      set_rest(t, REASON, reason)
      counts[CANCELS] = counts[CANCELS] + 1
      happened(id, t, at_ms, '"cancelled","reason":' .. reason_text)
      drop_input(id, t)
      finish(id, t, CANCELLED, at_ms)
    end
    index = index + 1
  end
end

local function expire(id, at_ms) cancel_family(id, at_ms, 'expired', '"expired"') end

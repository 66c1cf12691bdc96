-- How tasks change, and what happens by itself: the inner part of a function that is only made when a run needs it.

local function parsed(raw)
  local t = { sunpack(RECORD, raw) }
  t[REST] = sub(raw, t[REST])
  return t
end

local function packed(t)
  local body, worker = t[BODY], t[WORKER]
  return spack(RECORD, t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9], t[10], t[11], t[12], t[13], t[14], t[15],
    t[16], t[17], t[18], t[19], t[20], t[21], #body, body, #worker, worker) .. t[REST]
end

local function find(id)
  local t = records[id]
  if t ~= nil then return t end
  local raw = raws[id]
  if raw == nil then raw = call('HGET', TASKS, id) end
  t = raw and parsed(raw)
  records[id] = t
  return t
end

local function rest_of(t) return cmsgpack.unpack(t[REST]) end

local function set_rest(t, index, text)
  local rest = rest_of(t)
  rest[index] = text
  t[REST] = cmsgpack.pack(rest)
end

-- Events.

local function event_text(seq, at_ms, body) return format('{"seq":%d,"at":%d,"type":%s}', seq, at_ms, body) end

-- The events of a flat task, by number.
local function flat_event(t, seq)
  if seq == 1 then return event_text(1, t[ENQUEUED], '"enqueued"') end
  if seq == 2 then return event_text(2, t[STARTED], '"started","attempt":1') end
  return event_text(3, t[FINISHED], '"completed"')
end

local function happened(id, t, at_ms, body)
  if t[FLAT] == 1 then
    for seq = 1, t[SEQ] do events[seq .. ':' .. id] = flat_event(t, seq) end
    t[FLAT] = 0
  end
  local seq = t[SEQ] + 1
  t[SEQ] = seq
  events[seq .. ':' .. id] = event_text(seq, at_ms, body)
  if seq - t[FIRST] >= max_events then
    events[t[FIRST] .. ':' .. id] = false
    t[FIRST] = t[FIRST] + 1
  end
  dirty[id] = true
  wake(id)
end

-- Groups.

local function group_prefix(name) return #name .. ':' .. name .. ':' end

local function group_member(t, prefix, id) return prefix .. format('%016d', t[ORDER]) .. id end

local function group_head(prefix)
  local first = call('ZRANGEBYLEX', GROUPS, '[' .. prefix, '(' .. prefix .. ';', 'LIMIT', 0, 1)[1]
  return first and sub(first, #prefix + 17)
end

local function group_join(id, t)
  if t[GROUPED] == 1 then call('ZADD', GROUPS, 0, group_member(t, group_prefix(rest_of(t)[GROUP]), id)) end
end

local function is_first(id, t)
  return t[GROUPED] == 0 or group_head(group_prefix(rest_of(t)[GROUP])) == id
end

-- Changes of state.

local function move(id, t, state, due)
  local before = t[STATE]
  counts[before] = counts[before] - 1
  counts[state] = counts[state] + 1
  if before == SCHEDULED or before == RUNNING then live[id] = false end
  if state == SCHEDULED or state == RUNNING then live[id] = at(due) end
  t[STATE], t[DUE] = state, due
  dirty[id] = true
end

local function offer(id, t)
  ready[id] = (1000 - t[PRIORITY]) * RANK + t[ORDER]
  has_ready, news.has_work = true, true
end

local function make_ready(id, t)
  move(id, t, IS_READY, 0)
  if is_first(id, t) then offer(id, t) end
end

local function forget(id, t)
  counts[t[STATE]] = counts[t[STATE]] - 1
  if t[STATE] == DEAD then
    call('ZREM', FAILED, id)
    call('ZREM', BURIED, id)
  else
    kept[id] = false
  end
  if t[BODY] == '' then
    results[id] = false
    inputs[id], has_inputs = false, true
  end
  if t[FLAT] == 0 then
    for seq = t[FIRST], t[SEQ] do events[seq .. ':' .. id] = false end
  end
  records[id], dirty[id] = false, true
  wake(id)
end

local function leave_group(id, t)
  local prefix = group_prefix(rest_of(t)[GROUP])
  local was_first = group_head(prefix) == id
  call('ZREM', GROUPS, group_member(t, prefix, id))
  if not was_first then return end
  local next_id = group_head(prefix)
  local next_task = next_id and find(next_id)
  if next_task and next_task[STATE] == IS_READY then offer(next_id, next_task) end
end

local function leave(id, t)
  if t[STATE] == IS_READY then ready[id], has_ready = false, true end
  if t[KEYED] == 1 then
    local key = rest_of(t)[KEY]
    if call('HGET', DEDUP, key) == id then call('HDEL', DEDUP, key) end
  end
  if t[GROUPED] == 1 then leave_group(id, t) end
end

local function finish(id, t, state, at_ms)
  leave(id, t)
  local due = at_ms + t[KEEP]
  move(id, t, state, due)
  t[FINISHED] = at_ms
  kept[id] = at(due)
end

local function drop_input(id, t)
  if t[BODY] == '' then inputs[id], has_inputs = false, true end
  t[BODY] = ''
end

local function complete(id, t, result)
  local is_whole
  drop_input(id, t)
  t[BODY], is_whole = short(result)
  if not is_whole then results[id] = result end
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
  leave(id, t)
  local due = at_ms + t[KEEP_FAILED]
  move(id, t, DEAD, due)
  t[FINISHED] = at_ms
  ends = ends + 1
  call('ZADD', FAILED, whole(ends), id)
  call('ZADD', BURIED, whole(at(due)), id)
  happened(id, t, at_ms, '"failed","error":' .. failure)
end

local function lose_lease(id, t, at_ms)
  t[LOSSES] = t[LOSSES] + 1
  happened(id, t, at_ms, '"lease_lost"')
  if t[LOSSES] <= t[MAX_LOSSES] then return make_ready(id, t) end
  bury(id, t, at_ms, cjson.encode({
    code = 'LEASE_LOST',
    message = 'its workers stopped renewing their leases: they died, hung, or could not reach the store',
  }))
end

-- What happens by itself.

local function by_due(a, b)
  if a[2][DUE] ~= b[2][DUE] then return a[2][DUE] < b[2][DUE] end
  return a[2][ORDER] < b[2][ORDER]
end

-- What is due of a calendar, the earliest first.
local function due_of(calendar)
  local ids = call('ZRANGEBYSCORE', calendar, '-inf', whole(now), 'LIMIT', 0, MAX_SWEEP)
  if #ids == 0 then return ids end
  fetch(ids)
  local due = {}
  for _, id in ipairs(ids) do
    local t = find(id)
    if t then due[#due + 1] = { id, t } else call('ZREM', calendar, id) end
  end
  table.sort(due, by_due)
  return due
end

local function sweep()
  for _, pair in ipairs(due_of(LIVE)) do
    local id, t = pair[1], pair[2]
    if t[STATE] == SCHEDULED then make_ready(id, t) else lose_lease(id, t, t[DUE]) end
  end
  for _, pair in ipairs(due_of(KEPT)) do forget(pair[1], pair[2]) end
  for _, pair in ipairs(due_of(BURIED)) do forget(pair[1], pair[2]) end
end

-- Once all is written.
local function find_next_due()
  next_due = NEVER
  for _, calendar in ipairs({ LIVE, KEPT, BURIED }) do
    local head = call('ZRANGE', calendar, 0, 0, 'WITHSCORES')
    if head[2] then next_due = math.min(next_due, tonumber(head[2])) end
  end
end

-- The first to go when there are more than are to be kept.
local function crowd_out(calendar, count)
  flush_kept()
  local ids = call('ZRANGE', calendar, 0, count - 1)
  fetch(ids)
  for _, id in ipairs(ids) do
    local t = find(id)
    if t then forget(id, t) end
  end
end

-- A task with a delay, a dedup key or a group.
local function add_special(id, kind, input, key, group)
  if key and call('HSETNX', DEDUP, key, id) == 0 then return call('HGET', DEDUP, key) end
  order = order + 1
  local t = { IS_READY, 1, key and 1 or 0, group and 1 or 0, 0, 1, 0, 0, 0, 0, kind.keep, 0, 0, 1, kind.attempts,
    kind.losses, now, 0, order, kind.keep_failed, kind.priority, input, '',
    cmsgpack.pack({ kind.name, group or '', key or '', '', '', '' }) }
  records[id], dirty[id] = t, true
  counts[IS_READY] = counts[IS_READY] + 1
  group_join(id, t)
  if kind.delay > 0 then
    move(id, t, SCHEDULED, now + kind.delay)
  elseif is_first(id, t) then
    offer(id, t)
  end
  return 0
end

-- Leases a task under `fence`, one that is not new.
local function lease_again(id, worker, due)
  local t = find(id)
  t[ATTEMPT] = t[FAILURES] + 1
  if t[FLAT] == 1 and t[SEQ] == 1 then
    t[SEQ] = 2
    wake(id)
  else
    happened(id, t, now, '"started","attempt":' .. t[ATTEMPT])
  end
  t[FENCE], t[WORKER], t[STARTED] = fence, worker, now
  move(id, t, RUNNING, due)
  return t[ATTEMPT], t[BACKOFF] == 0 and 0 or format('%.17g', t[BACKOFF]), t[BODY]
end

local function held(id, its_fence)
  local t = find(id)
  if t and t[STATE] == RUNNING and t[FENCE] == its_fence and now < t[DUE] then return t end
  return false
end

-- 0 when the lease is lost, the reason when a cancel took it.
local function refusal(id, its_fence)
  local t = find(id)
  if t and t[STATE] == CANCELLED and t[FENCE] == its_fence then return { rest_of(t)[REASON] } end
  return 0
end

local function fail(id, t, failure, is_final, delay, delay_text, backoff)
  t[FAILURES] = t[FAILURES] + 1
  if is_final or t[FAILURES] >= t[MAX_ATTEMPTS] then return bury(id, t, now, failure) end
  set_rest(t, FAILURE, failure)
  t[BACKOFF] = backoff
  happened(id, t, now, '"retrying","delayMs":' .. delay_text .. ',"error":' .. failure)
  if delay > 0 then move(id, t, SCHEDULED, now + delay) else make_ready(id, t) end
end

local function settle_one()
  local kind, id, its_fence = word(), word(), number()
  local t = held(id, its_fence)
  if kind == 'c' then
    local result = word()
    if t then complete(id, t, result) end
  elseif kind == 'r' then
    if t then
      happened(id, t, now, '"released"')
      make_ready(id, t)
    end
  elseif kind == 'f' then
    local failure = word()
    if t then fail(id, t, failure, true) end
  else
    local failure, delay, delay_text, backoff = word(), number(), word(), number()
    if t then fail(id, t, failure, false, delay, delay_text, backoff) end
  end
  return t and 1 or refusal(id, its_fence)
end


-- How tasks change: the inner part of a function that has all of state.lua around it.

local last_number, last_text = -1, '-1'

-- A whole number as text; many in a row are the same.
local function whole(number)
  if number ~= last_number then last_number, last_text = number, format('%d', number) end
  return last_text
end

local function send(command, key, words, count)
  for from = 1, count, CHUNK do
    call(command, key, unpack(words, from, math.min(from + CHUNK - 1, count)))
  end
end

-- Writes a table of member to score, or of field to value; `false` takes out.
local function flush(key, changes, put, take, is_set)
  local puts, takes, n, m = {}, {}, 0, 0
  for name, value in pairs(changes) do
    if value == false then
      m = m + 1
      takes[m] = name
    elseif is_set then
      puts[n + 1], puts[n + 2] = whole(value), name
      n = n + 2
    else
      puts[n + 1], puts[n + 2] = name, value
      n = n + 2
    end
  end
  if n > 0 then send(put, key, puts, n) end
  if m > 0 then send(take, key, takes, m) end
end

local function flush_ready()
  if not has_ready then return end
  flush(READY, ready, 'ZADD', 'ZREM', true)
  ready, has_ready = {}, false
end

local function flush_inputs()
  if not has_inputs then return end
  flush(INPUTS, inputs, 'HSET', 'HDEL', false)
  inputs, has_inputs = {}, false
end

local function flush_kept()
  flush(KEPT, kept, 'ZADD', 'ZREM', true)
  kept = {}
end

local function at(score)
  if score < soonest then soonest = score end
  return score
end

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

-- Reads tasks as they are stored, those that have not been read yet.
local function fetch(ids)
  local missing, n = {}, 0
  for index = 1, #ids do
    local id = ids[index]
    if raws[id] == nil and records[id] == nil then
      n = n + 1
      missing[n] = id
    end
  end
  for from = 1, n, CHUNK do
    local to = math.min(from + CHUNK - 1, n)
    local found = call('HMGET', TASKS, unpack(missing, from, to))
    for index = from, to do raws[missing[index]] = found[index - from + 1] end
  end
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

-- Whether there is such a task, without a look into it.
local function is_known(id)
  if records[id] ~= nil then return records[id] ~= false end
  return raws[id] and true or false
end

local function rest_of(t) return cmsgpack.unpack(t[REST]) end

local function set_rest(t, index, text)
  local rest = rest_of(t)
  rest[index] = text
  t[REST] = cmsgpack.pack(rest)
end

-- Wake-ups.

local function wake(id)
  if is_watched and call('HDEL', WATCH, 'e' .. id) == 1 then
    news.ids[#news.ids + 1] = id
  end
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

-- What is kept in a record for a body, and whether that is all of it.
local function short(body)
  if #body <= MAX_BODY then return body, true end
  return '', false
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

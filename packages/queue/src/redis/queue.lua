-- Works off the calls of one tick on one queue, in order, at one instant of the server's clock. The rules are those of
-- memory/queue-state.ts.
--
-- KEYS: see below. ARGV: channel, maxEnded, maxDeadLetters, maxEvents, then the calls: a verb and its words.
-- Answers one answer for each call.
--
-- What calls change is kept in tables and written at the end: a hundred tasks cost a few commands, not hundreds.
-- A task is a record in the hash `tasks`: RECORD (packed numbers and its worker), then REST (packed texts). Its input, its
-- result and its events are in hashes of their own, so that a change of state does not move them.

local META, TASKS, INPUTS, RESULTS, EVENTS = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
-- Sorted sets. ready: by RANK. live: scheduled by when they are due, running by when their leases end. kept and buried:
-- ended ones and failed ones by when they are forgotten. failed: in the order of failures. groups: live tasks by name.
local READY, LIVE, KEPT, BURIED, FAILED, GROUPS = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
-- Hashes: dedup key to ID; worker to what was taken from it; who is to be woken by what.
local DEDUP, REVOKED, WATCH = KEYS[12], KEYS[13], KEYS[14]

local argv = ARGV
local CHANNEL, MAX_ENDED, MAX_DEAD, MAX_EVENTS = argv[1], tonumber(argv[2]), tonumber(argv[3]), tonumber(argv[4])

local call = redis.call
local spack, sunpack, format, floor = struct.pack, struct.unpack, string.format, math.floor

local SCHEDULED, RUNNING, COMPLETED, DEAD, CANCELLED = 1, 3, 4, 5, 6
local IS_READY = 2

-- Fields of a record. FLAT: its events are enqueued, started and completed as far as they go, and so need not be stored.
local STATE, FLAT, KEYED, GROUPED = 1, 2, 3, 4
local ATTEMPT, FAILURES, LOSSES, SEQ, FIRST = 5, 6, 7, 8, 9
local FENCE, DUE, ENQUEUED, STARTED, FINISHED, BACKOFF, ORDER = 10, 11, 12, 13, 14, 15, 16
local PRIORITY, MAX_ATTEMPTS, MAX_LOSSES, KEEP, KEEP_FAILED, WORKER, REST = 17, 18, 19, 20, 21, 22, 23
local RECORD = '<BBBBI4I4I4I4I4dddddddhI4I4ddBc0'
-- Fields of the rest; empty if there is none.
local NAME, GROUP, KEY, PROGRESS, FAILURE, REASON = 1, 2, 3, 4, 5, 6

-- Words of a command at once: Lua's stack holds 8,000.
local CHUNK = 2000
-- Things that happen by themselves in one run, of each kind.
local MAX_SWEEP = 1000
local MAX_WORKERS, MAX_REVOKED = 1000, 1000
local NEVER = 9007199254740991
-- The order of claims: priorities from -1000 to 1000, the highest first, and 2^42 tasks.
local RANK = 4398046511104
local LOST_TOO_OFTEN = cjson.encode({
  code = 'LEASE_LOST',
  message = 'its workers stopped renewing their leases: they died, hung, or could not reach the store',
})

local time = call('TIME')
local now = tonumber(time[1]) * 1000 + floor(tonumber(time[2]) / 1000)

-- Counters: order, fence, ends, when those who wait will look again, tasks in states 1 to 6.
local META_FORMAT = '<dddddddddd'
local raw_meta = call('GET', META)
local order, fence, ends, told = 0, 0, 0, 0
local counts = { 0, 0, 0, 0, 0, 0 }
if raw_meta then
  order, fence, ends, told, counts[1], counts[2], counts[3], counts[4], counts[5], counts[6] =
    sunpack(META_FORMAT, raw_meta)
else
  -- Fences rise even after the counter was lost with the server's data.
  fence = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local is_watched = call('HLEN', WATCH) > 0

local function whole(number) return format('%.0f', number) end

---------------------------------------------------------------------------------------------------- what is written late

local records, dirty = {}, {}
local ready, live, kept, inputs, results, events = {}, {}, {}, {}, {}, {}
local has_ready, has_inputs = false, false
-- The earliest thing that was put on the calendar.
local soonest = NEVER

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
  t[REST] = string.sub(raw, t[REST])
  return t
end

local function packed(t)
  local worker = t[WORKER]
  return spack(RECORD, t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9], t[10], t[11], t[12], t[13], t[14], t[15],
    t[16], t[17], t[18], t[19], t[20], t[21], #worker, worker) .. t[REST]
end

local function fetch(ids)
  local missing, n = {}, 0
  for index = 1, #ids do
    local id = ids[index]
    if records[id] == nil then
      n = n + 1
      missing[n] = id
    end
  end
  for from = 1, n, CHUNK do
    local to = math.min(from + CHUNK - 1, n)
    local found = call('HMGET', TASKS, unpack(missing, from, to))
    for index = 1, to - from + 1 do
      local raw = found[index]
      records[missing[from + index - 1]] = raw and parsed(raw) or false
    end
  end
end

local function find(id)
  local t = records[id]
  if t == nil then
    local raw = call('HGET', TASKS, id)
    t = raw and parsed(raw) or false
    records[id] = t
  end
  return t
end

local function rest_of(t) return cmsgpack.unpack(t[REST]) end

local function set_rest(t, index, text)
  local rest = rest_of(t)
  rest[index] = text
  t[REST] = cmsgpack.pack(rest)
end

-------------------------------------------------------------------------------------------------------------- wake-ups

local woken, woken_workers, has_woken, is_soon = {}, {}, false, false

local function wake(id)
  if is_watched and call('HDEL', WATCH, 'e' .. id) == 1 then
    woken[#woken + 1] = id
    has_woken = true
  end
end

---------------------------------------------------------------------------------------------------------------- events

local function event_text(seq, at_ms, body) return format('{"seq":%d,"at":%.0f,"type":%s}', seq, at_ms, body) end

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
  if seq - t[FIRST] >= MAX_EVENTS then
    events[t[FIRST] .. ':' .. id] = false
    t[FIRST] = t[FIRST] + 1
  end
  dirty[id] = true
  wake(id)
end

---------------------------------------------------------------------------------------------------------------- groups

local function group_prefix(name) return #name .. ':' .. name .. ':' end

local function group_member(t, prefix, id) return prefix .. format('%016.0f', t[ORDER]) .. id end

local function group_head(prefix)
  local first = call('ZRANGEBYLEX', GROUPS, '[' .. prefix, '(' .. prefix .. ';', 'LIMIT', 0, 1)[1]
  return first and string.sub(first, #prefix + 17)
end

local function group_join(id, t)
  if t[GROUPED] == 1 then call('ZADD', GROUPS, 0, group_member(t, group_prefix(rest_of(t)[GROUP]), id)) end
end

local function is_first(id, t)
  return t[GROUPED] == 0 or group_head(group_prefix(rest_of(t)[GROUP])) == id
end

---------------------------------------------------------------------------------------------------- changes of state

local function move(id, t, state, due)
  local before = t[STATE]
  counts[before] = counts[before] - 1
  counts[state] = counts[state] + 1
  if before == SCHEDULED or before == RUNNING then live[id] = false end
  if state == SCHEDULED or state == RUNNING then live[id] = at(due) end
  t[STATE], t[DUE] = state, due
  dirty[id] = true
end

local has_work = false

local function offer(id, t)
  ready[id] = (1000 - t[PRIORITY]) * RANK + t[ORDER]
  has_ready, has_work = true, true
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
  results[id], inputs[id], has_inputs = false, false, true
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
  inputs[id], has_inputs = false, true
  if counts[COMPLETED] + counts[CANCELLED] > MAX_ENDED then
    flush_kept()
    local oldest = call('ZPOPMIN', KEPT)[1]
    if oldest and find(oldest) then forget(oldest, find(oldest)) end
  end
end

local function complete(id, t, result)
  results[id] = result
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
  if counts[DEAD] > MAX_DEAD then
    local oldest = call('ZRANGE', FAILED, 0, 0)[1]
    if oldest and find(oldest) then forget(oldest, find(oldest)) end
  end
end

local function lose_lease(id, t, at_ms)
  t[LOSSES] = t[LOSSES] + 1
  happened(id, t, at_ms, '"lease_lost"')
  if t[LOSSES] <= t[MAX_LOSSES] then make_ready(id, t) else bury(id, t, at_ms, LOST_TOO_OFTEN) end
end

----------------------------------------------------------------------------------------- what happens by itself

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

local function next_due()
  local first = NEVER
  for _, calendar in ipairs({ LIVE, KEPT, BURIED }) do
    local head = call('ZRANGE', calendar, 0, 0, 'WITHSCORES')
    if head[2] then first = math.min(first, tonumber(head[2])) end
  end
  return first
end

---------------------------------------------------------------------------------------------------------------- verbs

local cursor = 4

local function word()
  cursor = cursor + 1
  return argv[cursor]
end

local function number()
  cursor = cursor + 1
  return tonumber(argv[cursor])
end

local function id_list()
  local ids = {}
  for index = 1, number() do ids[index] = word() end
  fetch(ids)
  return ids
end

-- Name, delay, priority, tries, lease losses, and how long it is kept: the same for many tasks.
local function kinds_of_task()
  local kinds = {}
  for index = 1, number() do
    local name, delay = word(), number()
    kinds[index] = {
      name = name, delay = delay, priority = number(), attempts = number(), losses = number(),
      keep = number(), keep_failed = number(),
      rest = cmsgpack.pack({ name, '', '', '', '', '' }),
    }
  end
  return kinds
end

-- Of each task its ID, kind, input, and whether a dedup key (1), a group (2) or both (3) follow.
local function new_tasks()
  local tasks, ids = {}, {}
  for index = 1, number() do
    local id, kind, input, extras = word(), number(), word(), number()
    local key = extras % 2 == 1 and word()
    local group = extras >= 2 and word()
    tasks[index] = { id, kind, input, key, group }
    ids[index] = id
  end
  fetch(ids)
  return tasks
end

local function count_new(tasks)
  local fresh, ids, keys = 0, {}, {}
  for _, task in ipairs(tasks) do
    local id, key = task[1], task[4]
    local is_known = find(id) or ids[id] or (key and (keys[key] or call('HEXISTS', DEDUP, key) == 1))
    if not is_known then
      fresh = fresh + 1
      ids[id] = true
      if key then keys[key] = true end
    end
  end
  return fresh
end

local function add(task, kind)
  local id, key, group = task[1], task[4], task[5]
  if records[id] then return 1 end
  if key and call('HSETNX', DEDUP, key, id) == 0 then return call('HGET', DEDUP, key) end
  order = order + 1
  local rest = kind.rest
  if key or group then rest = cmsgpack.pack({ kind.name, group or '', key or '', '', '', '' }) end
  local t = { IS_READY, 1, key and 1 or 0, group and 1 or 0, 0, 0, 0, 1, 1, 0, 0, now, 0, 0, 0, order, kind.priority,
    kind.attempts, kind.losses, kind.keep, kind.keep_failed, '', rest }
  records[id], dirty[id] = t, true
  inputs[id], has_inputs = task[3], true
  counts[IS_READY] = counts[IS_READY] + 1
  group_join(id, t)
  if kind.delay > 0 then
    move(id, t, SCHEDULED, now + kind.delay)
  elseif is_first(id, t) then
    offer(id, t)
  end
  return 0
end

local function enqueue()
  local limit = number()
  local kinds, tasks = kinds_of_task(), new_tasks()
  local alive = counts[SCHEDULED] + counts[IS_READY] + counts[RUNNING]
  if alive + #tasks > limit then
    -- Redrives may have gone beyond the limit: what adds nothing fits all the same.
    local fresh = count_new(tasks)
    if fresh > 0 and alive + fresh > limit then return { -1, alive } end
  end
  local outcomes, all_new = {}, true
  for index, task in ipairs(tasks) do
    local outcome = add(task, kinds[task[2]])
    outcomes[index] = outcome
    if outcome ~= 0 then all_new = false end
  end
  return all_new and 0 or outcomes
end

local function claim()
  local worker, max, lease_ms = word(), number(), number()
  local claimed = {}
  if max <= 0 then return claimed end
  flush_ready()
  if counts[IS_READY] == 0 then return claimed end
  local popped, ids = call('ZPOPMIN', READY, max), {}
  for index = 1, #popped, 2 do ids[#ids + 1] = popped[index] end
  if #ids == 0 then return claimed end
  fetch(ids)
  flush_inputs()
  local size = 0
  for from = 1, #ids, CHUNK do
    local to = math.min(from + CHUNK - 1, #ids)
    local texts = call('HMGET', INPUTS, unpack(ids, from, to))
    for index = from, to do
      local id = ids[index]
      local t = records[id]
      fence = fence + 1
      t[ATTEMPT] = t[FAILURES] + 1
      local is_flat = t[FLAT] == 1 and t[SEQ] == 1
      if not is_flat then happened(id, t, now, '"started","attempt":' .. t[ATTEMPT]) end
      t[FENCE], t[WORKER], t[STARTED] = fence, worker, now
      move(id, t, RUNNING, now + lease_ms)
      if is_flat then
        t[SEQ] = 2
        wake(id)
      end
      claimed[size + 1], claimed[size + 2], claimed[size + 3] = id, fence, t[ATTEMPT]
      claimed[size + 4] = t[BACKOFF] == 0 and 0 or format('%.17g', t[BACKOFF])
      claimed[size + 5] = texts[index - from + 1]
      size = size + 5
    end
  end
  return claimed
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

-- Finds what is to be settled in one go: the IDs are every fourth word while all are completions, which most are.
local function fetch_settled(count)
  local ids, place = {}, cursor
  for index = 1, count do
    if argv[place + 1] ~= 'c' then break end
    ids[index] = argv[place + 2]
    place = place + 4
  end
  fetch(ids)
end

local function settle()
  local outcomes, all_written = {}, true
  local count = number()
  fetch_settled(count)
  for index = 1, count do
    local outcome = settle_one()
    outcomes[index] = outcome
    if outcome ~= 1 then all_written = false end
  end
  local has_claim = number() == 1
  return { all_written and 1 or outcomes, has_claim and claim() or {} }
end

local function renew()
  local lease_ms, outcomes = number(), {}
  for index = 1, number() do
    local id, its_fence = word(), number()
    local t = held(id, its_fence)
    if t then move(id, t, RUNNING, now + lease_ms) end
    outcomes[index] = t and 1 or refusal(id, its_fence)
  end
  return outcomes
end

local function report()
  local outcomes = {}
  for index = 1, number() do
    local id, its_fence = word(), number()
    local t = held(id, its_fence)
    for _ = 1, number() do
      local kind, text = word(), word()
      if t and kind == 'p' then
        set_rest(t, PROGRESS, text)
        happened(id, t, now, '"progress","value":' .. text)
      elseif t then
        happened(id, t, now, '"log","line":' .. text)
      end
    end
    outcomes[index] = t and 1 or refusal(id, its_fence)
  end
  return outcomes
end

local function revoke(worker, id, its_fence, reason)
  local known = call('HGET', REVOKED, worker)
  local leases = known and cjson.decode(known) or {}
  if not known and call('HLEN', REVOKED) >= MAX_WORKERS then
    call('HDEL', REVOKED, call('HRANDFIELD', REVOKED))
  end
  if #leases >= MAX_REVOKED then table.remove(leases, 1) end
  leases[#leases + 1] = { id, whole(its_fence), reason }
  call('HSET', REVOKED, worker, cjson.encode(leases))
  woken_workers[#woken_workers + 1] = worker
  has_woken = true
end

local function cancel()
  local reason, reason_text = word(), word()
  local outcomes = {}
  for index, id in ipairs(id_list()) do
    local t = find(id)
    if not t then
      outcomes[index] = 0
    elseif t[STATE] >= COMPLETED then
      outcomes[index] = 1
    else
      local was_running = t[STATE] == RUNNING
      set_rest(t, REASON, reason)
      happened(id, t, now, '"cancelled","reason":' .. reason_text)
      finish(id, t, CANCELLED, now)
      if was_running then revoke(t[WORKER], id, t[FENCE], reason) end
      outcomes[index] = 2
    end
  end
  return outcomes
end

local function status_of(id)
  local t = find(id)
  if not t then return 0 end
  local rest = rest_of(t)
  return { t[STATE], t[DUE], t[ENQUEUED], t[STARTED], t[FINISHED], t[ATTEMPT], t[MAX_ATTEMPTS], t[LOSSES], t[SEQ],
    t[PRIORITY], t[WORKER], rest[NAME], t[GROUPED], rest[GROUP], rest[PROGRESS], rest[FAILURE], rest[REASON] }
end

local function get()
  local found = id_list()
  for index, id in ipairs(found) do found[index] = status_of(id) end
  return found
end

local function result()
  local id = word()
  if results[id] ~= nil then return results[id] end
  return call('HGET', RESULTS, id)
end

local function events_after()
  local id, after, max = word(), number(), number()
  local t = find(id)
  if not t then return 0 end
  local page = { t[SEQ], t[STATE] >= COMPLETED and 1 or 0 }
  for seq = math.max(after + 1, t[FIRST]), math.min(t[SEQ], math.max(after + 1, t[FIRST]) + max - 1) do
    local name = seq .. ':' .. id
    page[#page + 1] = t[FLAT] == 1 and flat_event(t, seq) or events[name] or call('HGET', EVENTS, name)
  end
  return page
end

local function dead_letters()
  local max, after = number(), word()
  local from = 0
  if after ~= '' then
    local rank = call('ZRANK', FAILED, string.sub(after, 2))
    -- Behind a task that is gone there is nothing to be found any more.
    if not rank then return {} end
    from = rank + 1
  end
  local found = call('ZRANGE', FAILED, from, from + max - 1)
  fetch(found)
  local letters = {}
  for index, id in ipairs(found) do letters[index] = { id, status_of(id) } end
  return letters
end

local function redrive_one(id)
  local t = find(id)
  if not t then return 0 end
  if t[STATE] ~= DEAD then return 1 end
  local rest = rest_of(t)
  if t[KEYED] == 1 and call('HSETNX', DEDUP, rest[KEY], id) == 0 then return 2 end
  call('ZREM', FAILED, id)
  call('ZREM', BURIED, id)
  order = order + 1
  t[ORDER], t[FAILURES], t[ATTEMPT], t[LOSSES], t[BACKOFF] = order, 0, 0, 0, 0
  rest[PROGRESS], rest[FAILURE] = '', ''
  t[REST] = cmsgpack.pack(rest)
  group_join(id, t)
  happened(id, t, now, '"redriven"')
  make_ready(id, t)
  return 3
end

local function redrive()
  local outcomes = id_list()
  for index, id in ipairs(outcomes) do outcomes[index] = redrive_one(id) end
  return outcomes
end

local function discard()
  local outcomes = id_list()
  for index, id in ipairs(outcomes) do
    local t = find(id)
    local has_ended = t and t[STATE] >= COMPLETED
    if has_ended then forget(id, t) end
    outcomes[index] = has_ended and 1 or 0
  end
  return outcomes
end

local function stats() return { counts[1], counts[2], counts[3], counts[4], counts[5], counts[6] } end

-- Those who begin to wait are told when something happens by itself, once all calls have been worked off.
local waits = {}

local function watch(field)
  call('HSET', WATCH, field, 1)
  is_watched = true
  local answer = { 0, 0 }
  waits[#waits + 1] = answer
  return answer
end

local function wait_for_work()
  flush_ready()
  if call('ZCARD', READY) > 0 then return 1 end
  return watch('w')
end

local function wait_for_events()
  local id, after = word(), number()
  local t = find(id)
  if not t or t[SEQ] > after then return 1 end
  return watch('e' .. id)
end

local function take_revoked()
  local worker = word()
  local leases = call('HGET', REVOKED, worker)
  if not leases then return 0 end
  call('HDEL', REVOKED, worker)
  return leases
end

local function look()
  local answer = { 0, 0 }
  waits[#waits + 1] = answer
  return answer
end

local verbs = {
  enqueue = enqueue, claim = claim, settle = settle, renew = renew, report = report, cancel = cancel, get = get,
  result = result, events = events_after, deadLetters = dead_letters, redrive = redrive, discard = discard, stats = stats,
  waitForWork = wait_for_work, waitForEvents = wait_for_events, takeRevoked = take_revoked, look = look,
}

------------------------------------------------------------------------------------------------------------- the run

sweep()
local answers = {}
while argv[cursor + 1] do answers[#answers + 1] = verbs[word()]() end

local tasks = {}
for id in pairs(dirty) do
  local t = records[id]
  tasks[id] = t and packed(t)
end
flush(TASKS, tasks, 'HSET', 'HDEL', false)
flush_ready()
flush_inputs()
flush_kept()
flush(LIVE, live, 'ZADD', 'ZREM', true)
flush(RESULTS, results, 'HSET', 'HDEL', false)
flush(EVENTS, events, 'HSET', 'HDEL', false)

if #waits > 0 then
  told = next_due()
  local ms = told == NEVER and -1 or math.max(0, told - now)
  for _, answer in ipairs(waits) do answer[2] = ms end
elseif soonest < told then
  told = soonest
  is_soon, has_woken = true, true
end
local wakes_workers = has_work and is_watched and call('HDEL', WATCH, 'w') == 1
if has_woken or wakes_workers then
  call('PUBLISH', CHANNEL, cjson.encode({ wakes_workers, is_soon, woken[1] and woken or false,
    woken_workers[1] and woken_workers or false }))
end

local meta = spack(META_FORMAT, order, fence, ends, told, counts[1], counts[2], counts[3], counts[4], counts[5], counts[6])
if meta ~= raw_meta then call('SET', META, meta) end
return answers

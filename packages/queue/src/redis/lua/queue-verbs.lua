-- The verbs about the queue as a whole, and the waits.

local function stats() return { unpack(counts, 1, CANCELLED) } end

-- Sums, whether it is paused, and when the task was added that is to be claimed next.
local function meter()
  flush_ready()
  local head = ends_of(READY, 1, 'ZRANGE')[1]
  local answer = { unpack(counts, ADDED, RAN) }
  answer[#answer + 1] = is_paused
  answer[#answer + 1] = head and find(head)[ENQUEUED] or 0
  return answer
end

-- Ready tasks that may not run yet, in addition to those that may.
local function add_held_back(ids, max)
  local is_there = {}
  for _, id in ipairs(ids) do is_there[id] = true end
  for from = 0, 9 * MAX_SWEEP, MAX_SWEEP do
    local found = call('ZRANGE', GROUPS, from, from + MAX_SWEEP - 1)
    for index, member in ipairs(found) do
      local size = string.match(member, '^%d+')
      found[index] = sub(member, #size + tonumber(size) + 19)
    end
    fetch(found)
    for _, id in ipairs(found) do
      if #ids >= max then return end
      local t = find(id)
      if t and t[STATE] == IS_READY and not is_there[id] then ids[#ids + 1] = id end
    end
    if #found < MAX_SWEEP then return end
  end
end

local function list()
  local state, max = number(), number()
  max = math.min(max, counts[state])
  if max <= 0 then return {} end
  if state ~= IS_READY then
    flush_state(state)
    if state == DEAD then return statuses_of(call('ZREVRANGE', FAILED, 0, max - 1)) end
    return statuses_of((ends_of(keys_by_state[state], max, state < COMPLETED and 'ZRANGE' or 'ZREVRANGE')))
  end
  flush_ready()
  local ids = ends_of(READY, max, 'ZRANGE')
  if #ids < max then add_held_back(ids, max) end
  return statuses_of(ids)
end

local function pause()
  is_paused = number()
  flush_ready()
  if is_paused == 0 and call('ZCARD', READY) > 0 then news.has_work = true end
  return 1
end

-- Schedules: when one is next, a space, and what it says.

local function set_schedule()
  local key, text, next_at = word(), word(), word()
  local known = call('HGET', SCHEDULES, key)
  if known and sub(known, #string.match(known, '^%S+') + 2) == text then return 1 end
  if not known and call('HLEN', SCHEDULES) >= MAX_SCHEDULES then return 0 end
  call('HSET', SCHEDULES, key, next_at .. ' ' .. text)
  return 1
end

local function remove_schedule() return call('HDEL', SCHEDULES, word()) end

local function schedules() return call('HGETALL', SCHEDULES) end

-- 0 when it is another one by now, 1 when it was fired, 2 when the queue is full.
local function fire()
  local key, text, at_text, next_at, size = word(), word(), word(), word(), number()
  if call('HGET', SCHEDULES, key) ~= at_text .. ' ' .. text then
    cursor = cursor + size
    return 0
  end
  local answer = enqueue()
  if answer ~= 0 then answer = answer[1] end
  if type(answer) == 'table' and answer[1] == -1 then return 2 end
  call('HSET', SCHEDULES, key, next_at .. ' ' .. text)
  return 1
end

local function will_be_told(answer)
  news.waits = news.waits or {}
  table.insert(news.waits, answer)
end

local function watch(field)
  call('HSET', WATCH, field, 1)
  is_watched = true
  local answer = { 0, 0 }
  will_be_told(answer)
  return answer
end

local function wait_for_work()
  flush_ready()
  if is_paused == 0 and call('ZCARD', READY) > 0 then return 1 end
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
  will_be_told(answer)
  return answer
end

return {
  renew = renew, report = report, checkpoint = checkpoint, checkpoints = checkpoints, signal = signal, cancel = cancel,
  get = get, children = children, input = input, result = result, events = events_after, deadLetters = dead_letters, redrive = redrive,
  discard = discard, stats = stats, meter = meter, list = list, pause = pause, setSchedule = set_schedule,
  removeSchedule = remove_schedule, schedules = schedules, fire = fire, waitForWork = wait_for_work,
  waitForEvents = wait_for_events, takeRevoked = take_revoked, look = look, count_new = count_new,
  add_special = add_special, end_parents_wait = end_parents_wait, lease_again = lease_again, complete = complete,
  settle_one = settle_one, part = part, flush_records = flush_records, flush_states = flush_states, sweep = sweep,
  find_next_due = find_next_due, crowd_out = crowd_out, crowd_out_dead = crowd_out_dead,
}

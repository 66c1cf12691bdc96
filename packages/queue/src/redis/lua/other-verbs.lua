-- The verbs of those who ask, wait, report and tidy up, in the same function as rules.lua.

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
  news.workers[#news.workers + 1] = worker
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
      drop_input(id, t)
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
  local t = find(id)
  if not t or t[STATE] ~= COMPLETED then return false end
  if t[BODY] ~= '' then return t[BODY] end
  return results[id] or call('HGET', RESULTS, id)
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

local function watch(field)
  call('HSET', WATCH, field, 1)
  is_watched = true
  local answer = { 0, 0 }
  news.waits[#news.waits + 1] = answer
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
  news.waits[#news.waits + 1] = answer
  return answer
end

return {
  renew = renew, report = report, cancel = cancel, get = get, result = result, events = events_after,
  deadLetters = dead_letters, redrive = redrive, discard = discard, stats = stats, waitForWork = wait_for_work,
  waitForEvents = wait_for_events, takeRevoked = take_revoked, look = look,
  add_special = add_special, lease_again = lease_again, settle_one = settle_one, packed = packed, sweep = sweep,
  find_next_due = find_next_due, crowd_out = crowd_out,
}

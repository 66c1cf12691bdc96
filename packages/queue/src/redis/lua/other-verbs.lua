-- The verbs of those who write under a lease, cancel, look at tasks and tidy up.

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

-- Of each its name, the same as JSON, and its value.
local function checkpoint()
  local id, its_fence = word(), number()
  local t = held(id, its_fence)
  for _ = 1, number() do
    local name, name_text, value = word(), word(), word()
    if t and record(id, t, name, value) then happened(id, t, now, '"checkpoint","name":' .. name_text) end
  end
  return t and 1 or refusal(id, its_fence)
end

local function checkpoints()
  local id, found = word(), {}
  local t = find(id)
  for index = 1, t and recorded(t) or 0 do
    local name = part('n' .. index .. ':' .. id)
    found[2 * index - 1], found[2 * index] = name, part(checkpoint_field(id, name))
  end
  return found
end

local function signal()
  local id, name, name_text, value = word(), word(), word(), word()
  local t = find(id)
  if not t then return 0 end
  if t[STATE] >= COMPLETED then return 1 end
  if not record(id, t, name, value) then return 2 end
  happened(id, t, now, '"signalled","name":' .. name_text)
  unless_it_waits(id, t, now)
  return 3
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
      cancel_family(id, now, reason, reason_text)
      outcomes[index] = 2
    end
  end
  return outcomes
end

local function status_of(id)
  local t = find(id)
  if not t then return 0 end
  local fields = rest_of(t)
  local numbers = { t[STATE], t[DUE], t[STARTED], t[FINISHED], t[PRIORITY], t[ENQUEUED], t[ATTEMPT], t[MAX_ATTEMPTS], t[LOSSES],
    t[SEQ] }
  return { numbers, t[WORKER], fields[NAME], fields[GROUP] or false, fields[TENANT] or false, fields[PARENT] or false,
    fields[PROGRESS] or false, fields[FAILURE] or false, fields[REASON] or false, fields[EVENTS] or false,
    fields[FOR_CHILDREN] or false }
end

local function get()
  local found = id_list()
  for index, id in ipairs(found) do found[index] = status_of(id) end
  return found
end

-- IDs and statuses.
local function statuses_of(ids)
  fetch(ids)
  local found = {}
  for index, id in ipairs(ids) do found[index] = { id, status_of(id) } end
  return found
end

local function children()
  local id = word()
  local t = find(id)
  return t and statuses_of(children_of(id, t)) or {}
end

-- What has completed or was cancelled has let go of it.
local function input()
  local id = word()
  local t = find(id)
  if not t or t[STATE] == COMPLETED or t[STATE] == CANCELLED then return false end
  if t[BODY] ~= '' then return t[BODY] end
  return part('i' .. id)
end

local function result()
  local id = word()
  local t = find(id)
  if not t or t[STATE] ~= COMPLETED then return false end
  if t[BODY] ~= '' then return t[BODY] end
  return part('r' .. id)
end

local function events_after()
  local id, after, max = word(), number(), number()
  local t = find(id)
  if not t then return 0 end
  local page = { t[SEQ], t[STATE] >= COMPLETED and 1 or 0 }
  for seq = math.max(after + 1, t[FIRST]), math.min(t[SEQ], math.max(after + 1, t[FIRST]) + max - 1) do
    page[#page + 1] = t[FLAT] == 1 and flat_event(t, seq) or part(seq .. ':' .. id)
  end
  return page
end

local function dead_letters()
  local max, after = number(), word()
  local from = 0
  if after ~= '' then
    local rank = call('ZRANK', FAILED, sub(after, 2))
    -- Behind a task that is gone there is nothing to be found any more.
    if not rank then return {} end
    from = rank + 1
  end
  return statuses_of(call('ZRANGE', FAILED, from, from + max - 1))
end

local function redrive_one(id)
  local t = find(id)
  if not t then return 0 end
  if t[STATE] ~= DEAD then return 1 end
  local fields = rest_of(t)
  if fields[KEY] and call('HSETNX', DEDUP, fields[KEY], id) == 0 then return 2 end
  call('ZREM', FAILED, id)
  if alive() == 0 then forget_turns() end
  set_rest(t, BORN, born(t))
  set_rest(t, PROGRESS, nil)
  set_rest(t, FAILURE, nil)
  order = order + 1
  t[ORDER], t[TURN] = order, next_turn(t[PRIORITY], fields[TENANT], fields[COST] or 60)
  t[FAILURES], t[ATTEMPT], t[LOSSES], t[BACKOFF] = 0, 0, 0, 0
  join_group(id, t, true)
  happened(id, t, now, '"redriven"')
  make_ready(id, t, now)
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

-- What happens by itself, the earliest first, each at its own time.

local function by_time(a, b)
  if a.at ~= b.at then return a.at < b.at end
  if a.state ~= b.state and (a.state == 0 or b.state == 0) then return b.state == 0 end
  return a.order < b.order
end

local function due_members(key, from, max)
  return call('ZRANGEBYSCORE', key, '-inf', whole(now), 'WITHSCORES', 'LIMIT', from, max)
end

-- Up to `max` IDs of members and scores, as `read` has them from a place on, and their scores.
local function ids_in(read, max)
  local ids, scores, from, page = {}, {}, 0, math.min(max, 100)
  repeat
    local found = read(from, page)
    for index = 1, #found, 2 do
      for _, id in ipairs(ids_of(found[index])) do
        if id ~= '' and #ids < max then ids[#ids + 1], scores[#scores + 1] = id, tonumber(found[index + 1]) end
      end
    end
    from = from + page
  until #ids == max or #found < 2 * page
  return ids, scores
end

-- The first or the last IDs of a state.
local function ends_of(key, max, command)
  return ids_in(function(from, page) return call(command, key, from, from + page - 1, 'WITHSCORES') end, max)
end

-- Tasks of which a state is over.
local function add_due(due, state)
  if counts[state] == 0 then return end
  local key = keys_by_state[state]
  local ids, scores = ids_in(function(from, page) return due_members(key, from, page) end, MAX_SWEEP)
  fetch(ids)
  for index, id in ipairs(ids) do
    local t = find(id)
    if t and t[STATE] == state then
      due[#due + 1] = { id = id, at = t[DUE], order = t[ORDER], state = state }
    else
      exit_state(state, id, scores[index])
    end
  end
end

-- Tasks that expire, and groups, in state 0.
local function add_alarms(due)
  local found = due_members(ALARMS, 0, MAX_SWEEP)
  for index = 1, #found, 2 do
    local kind, name, at_ms = sub(found[index], 1, 1), sub(found[index], 2), tonumber(found[index + 1])
    call('ZREM', ALARMS, found[index])
    if kind == 'g' then
      due[#due + 1] = { group = name, at = at_ms, order = 0, state = 0 }
    else
      local t = find(name)
      if t then due[#due + 1] = { id = name, at = at_ms, order = t[ORDER], state = IS_READY } end
    end
  end
end

local function happen(one)
  if one.group then return wake_group(one.group) end
  local id, state, at_ms = one.id, one.state, one.at
  local t = find_live(id)
  if state == IS_READY then
    if t and t[FENCE] == 0 then expire(id, at_ms) end
  elseif state >= COMPLETED then
    t = find(id)
    if t and t[STATE] == state then forget(id, t) end
  elseif t and t[STATE] == state then
    local expires = t[FENCE] == 0 and rest_of(t)[EXPIRES]
    if expires and expires <= at_ms then
      expire(id, at_ms)
    elseif state == RUNNING then
      lose_lease(id, t, at_ms)
    else
      make_ready(id, t, at_ms)
    end
  end
end

-- What has happened may be the reason for more that is due by now: what has ended may be forgotten.
local function sweep()
  repeat
    local due = {}
    flush_states()
    for state in pairs(keys_by_state) do add_due(due, state) end
    add_alarms(due)
    table.sort(due, by_time)
    for _, one in ipairs(due) do happen(one) end
  until #due == 0 or #due >= MAX_SWEEP
end

-- Once all is written.
local function find_next_due()
  next_due = NEVER
  local calendars = { ALARMS }
  for state, key in pairs(keys_by_state) do
    if counts[state] > 0 then calendars[#calendars + 1] = key end
  end
  for _, key in ipairs(calendars) do
    local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if head[2] then next_due = math.min(next_due, tonumber(head[2])) end
  end
end

local function crowd_out_dead(count)
  local ids = call('ZRANGE', FAILED, 0, count - 1)
  fetch(ids)
  for _, id in ipairs(ids) do
    local t = find(id)
    if t then forget(id, t) end
  end
end

-- The completed and cancelled ones that would go first, when there are more than are to be kept.
local function crowd_out(count)
  flush_states()
  local ended = {}
  for _, key in ipairs({ COMPLETED_BY, CANCELLED_BY }) do
    local ids, scores = ends_of(key, count, 'ZRANGE')
    for index, id in ipairs(ids) do ended[#ended + 1] = { id, scores[index] } end
  end
  table.sort(ended, function(a, b) return a[2] < b[2] end)
  local ids = {}
  for index = 1, math.min(count, #ended) do ids[index] = ended[index][1] end
  fetch(ids)
  for _, id in ipairs(ids) do
    local t = find(id)
    if t then forget(id, t) end
  end
end

-- Which tasks of a group may run: the first of those that are live, and as a token bucket allows. And lists by name.

-- Members of a sorted set, by name and place.
local function prefix_of(name) return #name .. ':' .. name .. ':' end

local function member_of(prefix, place, id) return prefix .. format('%016d', place) .. id end

-- IDs under a name, in order; all from `from` on when `count` is negative.
local function members(key, prefix, from, count)
  local found = call('ZRANGEBYLEX', key, '[' .. prefix, '(' .. prefix .. ';', 'LIMIT', from, count)
  for index = 1, #found do found[index] = sub(found[index], #prefix + 17) end
  return found
end

local function offer(id, t)
  ready[id] = (1000 - t[PRIORITY]) * RANK + t[TURN]
  has_ready, news.has_work = true, true
end

-- Takes a ready task out of its row. Rows of one priority do not overlap: it is the nearest one, and mostly the nearest member.
local function leave_row(id, score)
  local from, size, found = 0, 1, nil
  repeat
    found = call('ZREVRANGEBYSCORE', READY, whole(score), whole(score - MAX_ROW * STEP), 'WITHSCORES', 'LIMIT', from, size)
    for index = 1, #found, 2 do
      if byte(found[index]) > 127 then
        local ids = cmsgpack.unpack(found[index])
        local place = (score - tonumber(found[index + 1])) / STEP + 1
        if ids[place] ~= id then return end
        ids[place] = ''
        call('ZREM', READY, found[index])
        return put_row(ids, 1, tonumber(found[index + 1]))
      end
    end
    from, size = from + size, 10
  until #found == 0
end

local function withdraw(id, t)
  flush_ready()
  local was_alone = call('ZREM', READY, id) == 1
  if not was_alone and t[AT_START] == 0 and t[FENCE] == 0 then leave_row(id, (1000 - t[PRIORITY]) * RANK + t[TURN]) end
end

-- What was said of groups and what they have used: how many run at a time, tokens, and in how many milliseconds they come; debt
-- in parts of a token, as of a time: a start makes PER of it and a millisecond takes away RATE, so that all numbers are whole.
-- BLOCKED: there is no token, and until there is one its tasks are not offered.
local AT_ONCE, RATE, PER, DEBT, AS_OF, BLOCKED = 1, 2, 3, 4, 5, 6
local limits = {}

local function limit_of(name)
  local limit = limits[name]
  if limit then return limit end
  local stored = call('HGET', LIMITS, name)
  limit = stored and cmsgpack.unpack(stored) or { 1, 0, 0, 0, 0, 0 }
  limits[name] = limit
  return limit
end

local function save_limit(name, limit)
  if limit[AT_ONCE] == 1 and limit[RATE] == 0 then return call('HDEL', LIMITS, name) end
  call('HSET', LIMITS, name, cmsgpack.pack(limit))
end

local function forget_limit(name)
  limits[name] = nil
  call('HDEL', LIMITS, name)
end

local function settle_debt(limit)
  limit[DEBT] = math.max(0, limit[DEBT] - math.max(0, now - limit[AS_OF]) * limit[RATE])
  limit[AS_OF] = math.max(now, limit[AS_OF])
end

-- When its debt is down to so many parts of a token.
local function debt_down_to(limit, parts_left)
  return limit[AS_OF] + math.max(0, math.ceil((limit[DEBT] - parts_left) / limit[RATE]))
end

local function has_token(limit) return limit[RATE] == 0 or limit[DEBT] <= (limit[RATE] - 1) * limit[PER] end

local function offer_some(limit, prefix, from, count)
  if limit[BLOCKED] == 1 or count <= 0 then return end
  for _, id in ipairs(members(GROUPS, prefix, from, count)) do
    local t = find(id)
    if t and t[STATE] == IS_READY then offer(id, t) end
  end
end

local function withdraw_some(prefix, from, count)
  if count <= 0 then return end
  for _, id in ipairs(members(GROUPS, prefix, from, count)) do ready[id], has_ready = false, true end
end

-- Offers the group's tasks or takes them back, as its tokens have it.
local function heed_tokens(name, limit)
  settle_debt(limit)
  local prefix = prefix_of(name)
  if has_token(limit) then
    if limit[BLOCKED] == 0 then return end
    limit[BLOCKED] = 0
    offer_some(limit, prefix, 0, limit[AT_ONCE])
  else
    if limit[BLOCKED] == 0 then withdraw_some(prefix, 0, limit[AT_ONCE]) end
    limit[BLOCKED] = 1
    call('ZADD', ALARMS, whole(at(debt_down_to(limit, (limit[RATE] - 1) * limit[PER]))), 'g' .. name)
  end
end

-- Whether there was one to be taken.
local function take_token(name)
  local limit = limit_of(name)
  if limit[RATE] == 0 then return true end
  settle_debt(limit)
  local taken = has_token(limit)
  if taken then limit[DEBT] = limit[DEBT] + limit[PER] end
  heed_tokens(name, limit)
  save_limit(name, limit)
  return taken
end

-- Says how the tasks of a group run. What is owed is carried over to another rate.
local function set_limit(name, said)
  local limit, prefix = limit_of(name), prefix_of(name)
  local at_once, rate, per = said[1], said[2], said[3]
  local before = limit[AT_ONCE]
  limit[AT_ONCE] = at_once
  if rate ~= limit[RATE] or per ~= limit[PER] then
    settle_debt(limit)
    if limit[RATE] == 0 then limit[DEBT], limit[PER] = 0, 1 end
    limit[DEBT] = math.min(math.ceil(limit[DEBT] / limit[PER] * per), rate * per)
    limit[RATE], limit[PER] = rate, per
  end
  withdraw_some(prefix, at_once, before - at_once)
  offer_some(limit, prefix, before, at_once - before)
  heed_tokens(name, limit)
  save_limit(name, limit)
end

local function may_run(id, t)
  local name = rest_of(t)[GROUP]
  if not name then return true end
  local limit, prefix = limit_of(name), prefix_of(name)
  if limit[BLOCKED] == 1 then return false end
  return call('ZLEXCOUNT', GROUPS, '[' .. prefix, '(' .. member_of(prefix, t[ORDER], id)) < limit[AT_ONCE]
end

local function join_group(id, t, is_redriven)
  local rest_fields = rest_of(t)
  local name, said = rest_fields[GROUP], rest_fields[SAID]
  if not name then return end
  local prefix = prefix_of(name)
  local is_new = #members(GROUPS, prefix, 0, 1) == 0
  call('ZADD', GROUPS, 0, member_of(prefix, t[ORDER], id))
  if said and not (is_redriven and (not is_new or limit_of(name)[RATE] > 0)) then set_limit(name, said) end
  -- While it had no task it waited for nothing but to be forgotten.
  if is_new and limit_of(name)[RATE] > 0 then
    heed_tokens(name, limit_of(name))
    save_limit(name, limit_of(name))
  end
end

-- Nothing is left to be known of a group without tasks whose bucket is full.
local function forget_group(name, limit)
  settle_debt(limit)
  if limit[DEBT] == 0 then return forget_limit(name) end
  save_limit(name, limit)
  call('ZADD', ALARMS, whole(at(debt_down_to(limit, 0))), 'g' .. name)
end

local function leave_group(id, t)
  local name = rest_of(t)[GROUP]
  if not name then return end
  local limit, prefix = limit_of(name), prefix_of(name)
  local member = member_of(prefix, t[ORDER], id)
  local place = call('ZLEXCOUNT', GROUPS, '[' .. prefix, '(' .. member)
  call('ZREM', GROUPS, member)
  if place < limit[AT_ONCE] then offer_some(limit, prefix, limit[AT_ONCE] - 1, 1) end
  if place == 0 and #members(GROUPS, prefix, 0, 1) == 0 then forget_group(name, limit) end
end

-- The time has come for which a group has waited.
local function wake_group(name)
  local limit = limit_of(name)
  if #members(GROUPS, prefix_of(name), 0, 1) == 0 then return forget_group(name, limit) end
  heed_tokens(name, limit)
  save_limit(name, limit)
end

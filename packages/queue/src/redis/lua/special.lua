-- Adding, starting and settling what is not plain.

-- More tenants are not remembered: of those that are ahead the first are over.
local function limit_tenants(its_flow, rank)
  local behind, all = '(' .. whole(rank + its_flow[LAST]), '(' .. whole(rank + RANK)
  local own = its_flow[NEXT] > its_flow[LAST] and 1 or 0
  if call('ZCOUNT', FLOWS, behind, all) + own <= MAX_TENANTS then return end
  local first = tonumber(call('ZRANGEBYSCORE', FLOWS, behind, all, 'WITHSCORES', 'LIMIT', 0, 1)[2]) - rank
  its_flow[LAST], its_flow[MOVED] = own == 1 and math.min(first, its_flow[NEXT]) or first, true
end

local function next_turn(priority, tenant, cost)
  local its_flow, rank = flow_of(priority), (1000 - priority) * RANK
  local turn = math.max(its_flow[LAST], its_flow[NEXT])
  if not tenant or tenant == '' then
    its_flow[NEXT], its_flow[MOVED] = math.min(turn + cost, LAST_TURN), true
    return turn
  end
  local member = priority .. ':' .. tenant
  local ahead = call('ZSCORE', FLOWS, member)
  turn = math.max(its_flow[LAST], ahead and tonumber(ahead) - rank or 0)
  call('ZADD', FLOWS, whole(rank + math.min(turn + cost, LAST_TURN)), member)
  has_flows = 1
  if not ahead then limit_tenants(its_flow, rank) end
  return turn
end

-- What is said of a new task: its key, group, group's limit, tenant, parent, whether it waits for children, when it expires.

local function count_new(ids, said_of, first, last)
  local fresh, seen, keys = 0, {}, {}
  for index = first, last do
    local id, said = ids[index], said_of[index] or {}
    local is_old = is_known(id) or seen[id] or (said.k and (keys[said.k] or call('HEXISTS', DEDUP, said.k) == 1))
      or (said.p and not seen[said.p] and not find_live(said.p))
    if not is_old then
      fresh = fresh + 1
      seen[id] = true
      if said.k then keys[said.k] = true end
    end
  end
  return fresh
end

-- Those of the tasks that one caller adds that wait for children, which come behind them.
local parents = {}

local function end_parents_wait()
  for index, id in ipairs(parents) do
    unless_it_waits(id, records[id], now)
    parents[index] = nil
  end
end

-- A task with a delay, or of which more is said.
local function add_special(id, kind, body, said)
  said = said or {}
  local holder = said.k and call('HGET', DEDUP, said.k)
  if holder then return holder end
  local parent = said.p and find_live(said.p)
  if said.p and not parent then return 2 end
  if said.k then call('HSET', DEDUP, said.k, id) end
  order = order + 1
  local name, delay, priority, attempts, losses, keep, keep_failed, cost = unpack(kind.said)
  local t = { SCHEDULED, 1, (said.g or said.e) and 1 or 0, (said.k or said.g or said.p) and 1 or 0, 0, 1, 0, 0,
    now + (said.w and 0 or delay), 0, keep, '', body, next_turn(priority, said.t, cost), order, 0, 0, 1, attempts, losses,
    now, 0, keep_failed, priority, false }
  t.more = { [NAME] = name, [GROUP] = said.g, [SAID] = said.l, [KEY] = said.k, [TENANT] = said.t,
    [COST] = cost ~= 60 and cost or nil, [PARENT] = said.p, [EXPIRES] = said.e and now + said.e }
  records[id], dirty[id] = t, true
  counts[SCHEDULED], counts[ADDED] = counts[SCHEDULED] + 1, counts[ADDED] + 1
  if said.e then call('ZADD', ALARMS, whole(at(now + said.e)), 't' .. id) end
  if parent then adopt(parent, id, t) end
  join_group(id, t, false)
  if said.w then
    wait(id, t, nil, 1, NEVER)
    parents[#parents + 1] = id
  else
    make_ready_in(delay, id, t)
  end
  return 0
end

-- Whether it may start: not when it has expired, or its group has no token.
local function may_start(id, t)
  local fields = rest_of(t)
  local expires = t[FENCE] == 0 and fields[EXPIRES]
  if expires and expires <= now then
    expire(id, expires)
    return false
  end
  if fields[GROUP] and not take_token(fields[GROUP]) then return false end
  if expires then call('ZREM', ALARMS, 't' .. id) end
  return true
end

-- Leases a task that is not new, or whose start concerns others.
local function lease_again(id, worker, due)
  local t = find(id)
  if not t or (t[AT_START] == 1 and not may_start(id, t)) then return end
  fence = fence + 1
  if t[FENCE] == 0 then counts[WAITED] = counts[WAITED] + now - t[STARTED] end
  t[ATTEMPT] = t[FAILURES] + 1
  if t[FLAT] == 1 and t[SEQ] == 1 then
    t[SEQ] = 2
    wake(id)
  else
    happened(id, t, now, '"started","attempt":' .. t[ATTEMPT])
  end
  t[FENCE], t[WORKER], t[STARTED] = fence, worker, now
  move(id, t, RUNNING, due)
  return t[BODY], format('[%d,%.17g,%d]', t[ATTEMPT], t[BACKOFF], t[FLAT] == 1 and 0 or recorded(t))
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

local function complete(id, its_fence, result)
  local t = held(id, its_fence)
  if not t then return refusal(id, its_fence) end
  succeed(id, t, result)
  return 1
end

local function release(id, t)
  happened(id, t, now, '"released"')
  make_ready(id, t, now)
end

local function fail(id, t, failure, is_final, delay, delay_text, backoff)
  t[FAILURES] = t[FAILURES] + 1
  if is_final or t[FAILURES] >= t[MAX_ATTEMPTS] then return bury(id, t, now, failure) end
  counts[RETRIES] = counts[RETRIES] + 1
  set_rest(t, FAILURE, failure)
  t[BACKOFF] = backoff
  happened(id, t, now, '"retrying","delayMs":' .. delay_text .. ',"error":' .. failure)
  make_ready_in(delay, id, t)
end

-- Waits for what is said in JSON: one of some events, children, no longer than a delay.
local function suspend(id, t, said, event_body)
  happened(id, t, now, event_body)
  if said.d == 0 or not (said.e or said.c) then return make_ready_in(said.d or 0, id, t) end
  wait(id, t, said.e, said.c, said.d and now + said.d or NEVER)
  unless_it_waits(id, t, now)
end

-- Ends a lease otherwise than well.
local function settle_one(kind)
  local id, its_fence = word(), number()
  local t = held(id, its_fence)
  if kind == 'r' then
    if t then release(id, t) end
  elseif kind == 'f' then
    local failure = word()
    if t then fail(id, t, failure, true) end
  elseif kind == 's' then
    local said, event_body = cjson.decode(word()), word()
    if t then suspend(id, t, said, event_body) end
  else
    local failure, delay, delay_text, backoff = word(), number(), word(), number()
    if t then fail(id, t, failure, false, delay, delay_text, backoff) end
  end
  return t and 1 or refusal(id, its_fence)
end

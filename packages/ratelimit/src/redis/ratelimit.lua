-- Decides many calls at one instant of the server's clock; each on all of its limits, or on none.
--
-- ARGV[1]: JSON of [specs, calls, repeats]. A spec is [kind, parameters...] of a limit; calls is a flat list of
--   times, verb, count, then for each of its limits: spec (from 1), cost, mark
-- where `times` calls in a row differ in nothing but their keys. repeats: whether a key comes more than once.
-- KEYS: one for each limit of each call, in order.
-- Answers a flat list: for take, peek, spend and borrow of each limit wait, remaining, grows, rests and mark, after them,
-- for borrow, what was granted; for renew 1 or 0; for others nothing. Times are in microseconds.
--
-- A state is a list of integers below 2^53: until when it is blocked, then what its kind needs. The arithmetic is that of
-- the rules in src/limits, where it is explained.

local MAX = 9007199254740991

local call = redis.call
local time = call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local format = string.format

local argument = cjson.decode(ARGV[1])
local specs, calls, repeats = argument[1], argument[2], argument[3]
local parameters, kind_of = {}, {}
for index, spec in ipairs(specs) do
  kind_of[index] = table.remove(spec, 1)
  parameters[index] = spec
end

local TAKE, PEEK, SPEND, REFUND, RENEW, BLOCK, RESET, BORROW = 1, 2, 3, 4, 5, 6, 7, 8

local answer, size = {}, 0

-- One take from a bucket, which is what most calls are: what the rules below do, without a table and without a function
-- for each step. It takes the server two thirds of the time.
local function take_bucket(spec, cost, key)
  local p = parameters[spec]
  local per_token, per_tick, tick = p[2], p[3], p[4]
  local full, wanted = p[1] * per_token, cost * per_token
  local blocked, debt, at, scale = 0, 0, 0, per_token
  local raw = call('GET', key)
  if raw then blocked, debt, at, scale = struct.unpack('dddd', raw) end
  if scale ~= per_token then debt = min(MAX, ceil(debt / scale * per_token)) end
  local ticks = floor((now - at) / tick)
  if ticks > 0 then
    debt = debt - ticks * per_tick
    if debt > 0 then at = at + ticks * tick else debt, at = 0, now end
  end
  local wait, mark = 0, 0
  local excess = debt + wanted - full
  if excess > 0 then wait = at + ceil(excess / per_tick) * tick - now end
  if blocked - now > wait then wait = blocked - now end
  if wait <= 0 then
    wait = 0
    if debt == 0 and at < now then at = now end
    debt = debt + wanted
    mark = at + ceil(debt / per_tick) * tick
    local ttl = ceil((mark - now) / 1000)
    if ttl > 0 then
      call('SET', key, struct.pack('dddd', blocked, debt, at, per_token), 'PX', format('%d', ttl + 1))
    end
  end
  local remaining = max(0, floor((full - debt) / per_token))
  answer[size + 1] = wait
  answer[size + 2] = remaining
  answer[size + 3] = debt == 0 and 0 or at + ceil((debt - full + (remaining + 1) * per_token) / per_tick) * tick - now
  answer[size + 4] = debt == 0 and 0 or at + ceil(debt / per_tick) * tick - now
  answer[size + 5] = mark
  size = size + 5
end

local function is_plain()
  if repeats then return false end
  local at = 1
  while calls[at] do
    if calls[at + 1] ~= TAKE or calls[at + 2] ~= 1 or kind_of[calls[at + 3]] ~= 'bucket' then return false end
    at = at + 6
  end
  return true
end

if is_plain() then
  local at, key = 1, 1
  while calls[at] do
    for _ = 1, calls[at] do
      take_bucket(calls[at + 3], calls[at + 4], KEYS[key])
      key = key + 1
    end
    at = at + 6
  end
  return answer
end

-- Made only where they are asked for: a script makes all its functions anew each time it runs.
local kinds = {}

-- blocked, debt, at, perToken
function kinds.bucket()
  local bucket = {}
  local function time_for(s, p, units)
    if units <= 0 then return 0 end
    return s[3] + ceil(units / p[3]) * p[4] - now
  end
  function bucket.create(p) return {0, 0, 0, p[2]} end
  function bucket.advance(s, p)
    if s[4] ~= p[2] then
      s[2] = min(MAX, ceil(s[2] / s[4] * p[2]))
      s[4] = p[2]
    end
    local ticks = floor((now - s[3]) / p[4])
    if ticks <= 0 then return end
    local left = s[2] - ticks * p[3]
    s[2] = left > 0 and left or 0
    s[3] = left > 0 and s[3] + ticks * p[4] or now
  end
  function bucket.wait(s, p, cost) return time_for(s, p, s[2] + cost * p[2] - p[1] * p[2]) end
  function bucket.spend(s, p, cost)
    if s[2] == 0 and s[3] < now then s[3] = now end
    s[2] = min(MAX, s[2] + cost * p[2])
    return s[3] + ceil(s[2] / p[3]) * p[4]
  end
  function bucket.refund(s, p, cost, mark)
    local left = max(0, ceil((mark - now) / p[4]) * p[3])
    s[2] = max(0, s[2] - min(cost * p[2], left))
  end
  local function remaining(s, p) return max(0, floor((p[1] * p[2] - s[2]) / p[2])) end
  bucket.remaining = remaining
  function bucket.grows(s, p)
    if s[2] == 0 then return 0 end
    return time_for(s, p, s[2] - p[1] * p[2] + (remaining(s, p) + 1) * p[2])
  end
  function bucket.rests(s, p) return time_for(s, p, s[2]) end
  -- A state of a fixed size is kept as doubles, which is the fastest.
  bucket.layout = 'dddd'
  return bucket
end

-- A window of another length: numbered anew by the end of the old one.
local function renumber(s, window_us)
  if s[3] == window_us then return false end
  s[2] = floor(((s[2] + 1) * s[3] - 1) / window_us)
  s[3] = window_us
  return true
end

-- blocked, window, windowUs, count
function kinds.fixed()
  local fixed = {}
  local function ends(s, p) return (s[2] + 1) * p[2] - now end
  function fixed.create(p) return {0, 0, p[2], 0} end
  function fixed.advance(s, p)
    renumber(s, p[2])
    local window = floor(now / p[2])
    if window <= s[2] then return end
    s[2], s[4] = window, 0
  end
  function fixed.wait(s, p, cost) return s[4] + cost <= p[1] and 0 or ends(s, p) end
  function fixed.spend(s, _, cost)
    s[4] = s[4] + cost
    return s[2]
  end
  function fixed.refund(s, _, cost, mark) if s[2] == mark then s[4] = max(0, s[4] - cost) end end
  function fixed.remaining(s, p) return max(0, p[1] - s[4]) end
  function fixed.rests(s, p) return s[4] == 0 and 0 or ends(s, p) end
  fixed.grows = fixed.rests
  -- A state of a fixed size is kept as doubles, which is the fastest.
  fixed.layout = 'dddd'
  return fixed
end

-- blocked, window, windowUs, current, previous
function kinds.sliding()
  local sliding = {}
  local function starts(s, p, windows) return (s[2] + windows) * p[2] - now end
  local function elapsed(s, p) return max(0, floor((now - s[2] * p[2]) / p[3])) end
  local function room_after(p, before, wanted)
    if before == 0 then return 0 end
    local ticks = p[2] / p[3]
    return max(0, ticks - floor((p[1] - wanted) * ticks / before))
  end
  function sliding.create(p) return {0, 0, p[2], 0, 0} end
  function sliding.advance(s, p)
    if renumber(s, p[2]) then s[4], s[5] = s[4] + s[5], 0 end
    local window = floor(now / p[2])
    if window <= s[2] then return end
    s[5] = window == s[2] + 1 and s[4] or 0
    s[2], s[4] = window, 0
  end
  function sliding.wait(s, p, cost)
    if s[4] + cost > p[1] then return starts(s, p, 1) + room_after(p, s[4], cost) * p[3] end
    local room = room_after(p, s[5], s[4] + cost)
    return room <= elapsed(s, p) and 0 or starts(s, p, 0) + room * p[3]
  end
  function sliding.spend(s, _, cost)
    s[4] = s[4] + cost
    return s[2]
  end
  function sliding.refund(s, _, cost, mark)
    if mark == s[2] then s[4] = max(0, s[4] - cost)
    elseif mark == s[2] - 1 then s[5] = max(0, s[5] - cost) end
  end
  function sliding.remaining(s, p)
    local ticks = p[2] / p[3]
    return max(0, p[1] - s[4] - ceil(s[5] * (ticks - elapsed(s, p)) / ticks))
  end
  function sliding.grows(s, p)
    local left = sliding.remaining(s, p)
    return left >= p[1] and 0 or sliding.wait(s, p, left + 1)
  end
  function sliding.rests(s, p)
    if s[4] > 0 then return starts(s, p, 2) end
    return s[5] > 0 and starts(s, p, 1) or 0
  end
  -- A state of a fixed size is kept as doubles, which is the fastest.
  sliding.layout = 'ddddd'
  return sliding
end

-- blocked, total, then time and cost of each, the oldest first
function kinds.log()
  local log = {}
  local function frees(s, p, amount)
    local at = 3
    while amount > 0 and s[at] do
      amount = amount - s[at + 1]
      if amount <= 0 then return s[at] + p[2] - now end
      at = at + 2
    end
    return amount > 0 and p[2] or 0
  end
  function log.create() return {0, 0} end
  function log.advance(s, p)
    local old = 3
    while s[old] and s[old] <= now - p[2] do
      s[2] = s[2] - s[old + 1]
      old = old + 2
    end
    if old == 3 then return end
    local length = #s
    for at = 3, length do s[at] = s[at + old - 3] end
  end
  function log.wait(s, p, cost) return frees(s, p, s[2] + cost - p[1]) end
  function log.spend(s, _, cost)
    local last = #s - 1
    local at = last >= 3 and max(now, s[last]) or now
    if cost == 0 then return at end
    s[2] = s[2] + cost
    if last >= 3 and s[last] == at then s[last + 1] = s[last + 1] + cost
    else s[last + 2], s[last + 3] = at, cost end
    return at
  end
  function log.refund(s, _, cost, mark)
    for at = #s - 1, 3, -2 do
      if s[at] == mark then
        local back = min(cost, s[at + 1])
        s[2], s[at + 1] = s[2] - back, s[at + 1] - back
        if s[at + 1] == 0 then
          table.remove(s, at + 1)
          table.remove(s, at)
        end
        return
      end
    end
  end
  function log.remaining(s, p) return max(0, p[1] - s[2]) end
  function log.grows(s, p) return s[2] == 0 and 0 or frees(s, p, max(1, s[2] - p[1] + 1)) end
  function log.rests(s, p) return frees(s, p, s[2]) end
  return log
end

-- blocked, used, number of the last lease, then number, end and cost of each
function kinds.slots()
  local slots = {}
  local function frees(s, p, amount)
    if amount <= 0 then return 0 end
    local ends = {}
    for at = 4, #s, 3 do ends[#ends + 1] = {s[at + 1], s[at + 2]} end
    table.sort(ends, function(a, b) return a[1] < b[1] end)
    for _, lease in ipairs(ends) do
      amount = amount - lease[2]
      if amount <= 0 then return lease[1] - now end
    end
    return p[2]
  end
  local function drop(s, at) for _ = 1, 3 do table.remove(s, at) end end
  local function find(s, mark)
    for at = 4, #s, 3 do if s[at] == mark then return at end end
  end
  function slots.create() return {0, 0, 0} end
  function slots.advance(s)
    for at = #s - 2, 4, -3 do
      if s[at + 1] <= now then
        s[2] = s[2] - s[at + 2]
        drop(s, at)
      end
    end
  end
  function slots.wait(s, p, cost) return frees(s, p, s[2] + cost - p[1]) end
  function slots.spend(s, p, cost)
    s[3] = max(s[3] + 1, now)
    if cost > 0 then
      local last = #s
      s[last + 1], s[last + 2], s[last + 3] = s[3], now + p[2], cost
    end
    s[2] = s[2] + cost
    return s[3]
  end
  function slots.refund(s, _, cost, mark)
    local at = find(s, mark)
    if not at then return end
    local back = min(cost, s[at + 2])
    s[2], s[at + 2] = s[2] - back, s[at + 2] - back
    if s[at + 2] == 0 then drop(s, at) end
  end
  function slots.renew(s, p, mark)
    local at = find(s, mark)
    if not at then return false end
    s[at + 1] = now + p[2]
    return true
  end
  function slots.remaining(s, p) return max(0, p[1] - s[2]) end
  function slots.grows(s, p) return s[2] == 0 and 0 or frees(s, p, max(1, s[2] - p[1] + 1)) end
  function slots.rests(s, p) return frees(s, p, s[2]) end
  return slots
end

local rules, made = {}, {}

local function rule_of(spec)
  local rule, kind = rules[spec], kind_of[spec]
  if not rule then
    rule = made[kind] or kinds[kind]()
    made[kind], rules[spec] = rule, rule
  end
  return rule
end

-- Where a key comes more than once it is read once and written once, at the end.
local states, changed = repeats and {}, {}

local function load(key, rule, p)
  local s = states and states[key]
  if not s then
    local raw, layout = call('GET', key), rule.layout
    if not raw then s = rule.create(p)
    -- Behind the state stands where reading ended; writing does not look at it.
    elseif layout then s = {struct.unpack(layout, raw)}
    else s = cmsgpack.unpack(raw) end
    if states then states[key] = s end
  end
  rule.advance(s, p)
  return s
end

-- For as long as anything of it counts, and never a moment less.
local function write(key, s, rule, rests)
  local ttl = ceil(max(rests, s[1] - now) / 1000)
  if ttl <= 0 then
    call('DEL', key)
    return
  end
  local layout = rule.layout
  local raw = layout and struct.pack(layout, unpack(s)) or cmsgpack.pack(s)
  call('SET', key, raw, 'PX', format('%d', ttl + 1))
end

local function save(key, s, spec, rests)
  if states then
    states[key] = s
    changed[key] = spec
  else
    write(key, s, rule_of(spec), rests)
  end
end

local function tell(wait, rule, s, p, rests, mark)
  answer[size + 1] = wait
  answer[size + 2] = rule.remaining(s, p)
  answer[size + 3] = rule.grows(s, p)
  answer[size + 4] = rests
  answer[size + 5] = mark
  size = size + 5
end

local function tell_one(number)
  size = size + 1
  answer[size] = number
end

-- On one limit: the case to be fast in.
local function decide_one(verb, spec, cost, key)
  local rule, p = rule_of(spec), parameters[spec]
  local s = load(key, rule, p)
  local wait = max(rule.wait(s, p, cost), s[1] - now)
  local takes = verb == SPEND or (wait <= 0 and verb == TAKE)
  local mark = takes and rule.spend(s, p, cost) or 0
  local rests = rule.rests(s, p)
  if takes then save(key, s, spec, rests) end
  tell(wait > 0 and wait or 0, rule, s, p, rests, mark)
end

-- On several limits, and all that is no take: made when it is asked for.
local function make_general()
  local function decide(verb, claims)
    local granted, allowed = nil, true
    if verb == BORROW then
      granted = MAX
      for _, claim in ipairs(claims) do
        local left = claim.s[1] > now and 0 or claim.rule.remaining(claim.s, claim.p)
        granted = min(granted, claim.cost, left)
      end
      allowed = granted > 0
    end
    for _, claim in ipairs(claims) do
      -- Who borrows and gets nothing is told when there is one.
      local cost = granted and min(claim.cost, 1) or claim.cost
      claim.wait = max(claim.rule.wait(claim.s, claim.p, cost), claim.s[1] - now, 0)
      if not granted and claim.wait > 0 then allowed = false end
    end
    if verb == SPEND then allowed = true end
    for _, claim in ipairs(claims) do
      local rule, s, p = claim.rule, claim.s, claim.p
      local takes = allowed and verb ~= PEEK
      local mark = takes and rule.spend(s, p, granted or claim.cost) or 0
      local rests = rule.rests(s, p)
      if takes then save(claim.key, s, claim.spec, rests) end
      tell(claim.wait, rule, s, p, rests, mark)
    end
    if granted then tell_one(granted) end
  end

  local function change(verb, claims)
    local held = 1
    for _, claim in ipairs(claims) do
      local rule, s, p = claim.rule, claim.s, claim.p
      if verb == REFUND then rule.refund(s, p, claim.cost, claim.mark)
      elseif verb == BLOCK then s[1] = claim.cost > 0 and now + claim.cost or 0
      elseif verb == RENEW and rule.renew and not rule.renew(s, p, claim.mark) then held = 0
      elseif verb == RESET then s = rule.create(p) end
      save(claim.key, s, claim.spec, rule.rests(s, p))
    end
    if verb == RENEW then tell_one(held) end
  end

  local function claims_of(at, count, first_key)
    local claims = {}
    for index = 1, count do
      local spec, key = calls[at], KEYS[first_key + index - 1]
      local rule, p = rule_of(spec), parameters[spec]
      claims[index] = {
        rule = rule, p = p, s = load(key, rule, p), key = key, spec = spec, cost = calls[at + 1], mark = calls[at + 2],
      }
      at = at + 3
    end
    return claims
  end

  return function(verb, at, count, first_key)
    local claims = claims_of(at, count, first_key)
    if verb <= SPEND or verb == BORROW then decide(verb, claims) else change(verb, claims) end
  end
end

local general
local at, key = 1, 1
while calls[at] do
  local times, verb, count = calls[at], calls[at + 1], calls[at + 2]
  for _ = 1, times do
    if count == 1 and verb <= SPEND then decide_one(verb, calls[at + 3], calls[at + 4], KEYS[key])
    else
      general = general or make_general()
      general(verb, at + 3, count, key)
    end
    key = key + count
  end
  at = at + 3 + 3 * count
end
for name, spec in pairs(changed) do
  local s, rule = states[name], rule_of(spec)
  write(name, s, rule, rule.rests(s, parameters[spec]))
end
return answer

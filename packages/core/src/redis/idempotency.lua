-- The verbs of one idempotency key. The rules are those of idempotency/record.ts.
-- KEYS: record (hash), fence (the highest fence given out in this slot).
-- Fields of a record: f fingerprint, s state, n fence, o owner, l locked until, e expires at, t ttl, d doubt,
-- pn and pd recovery point, r result. Times are whole milliseconds of this server's clock, below 2^53.

local record, verb = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local names = { 'f', 's', 'n', 'o', 'l', 'e', 't', 'd', 'pn', 'pd', 'r' }
local values = redis.call('HMGET', record, unpack(names))
local known = {}
for index, name in ipairs(names) do known[name] = values[index] end

local function whole(number) return string.format('%.0f', number) end

local function is_locked() return known.s == 'held' and now < tonumber(known.l) end

local function is_remembered() return known.s and (now < tonumber(known.e) or is_locked()) end

local function is_doubtful() return not known.pn and (known.d == '1' or known.s == 'held') end

local function is_settled_by(fence, state)
  return known.s == state and known.n == fence and is_remembered()
end

local function is_held_by(fence) return is_settled_by(fence, 'held') end

-- A second longer than the rules ask for, so that they decide and not the moment of removal.
local function keep(expires_at, locked_until)
  redis.call('PEXPIREAT', record, whole(math.max(expires_at, locked_until) + 1000))
end

local function acquired()
  local reply = { 'acquired', known.n, known.d }
  if known.pn then reply[4], reply[5] = known.pn, known.pd end
  return reply
end

-- Not below the time in microseconds: it rises even after the counter was lost with the server's data.
local function next_fence()
  local micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local fence = whole(math.max(tonumber(redis.call('GET', KEYS[2]) or '0') + 1, micros))
  redis.call('SET', KEYS[2], fence)
  return fence
end

local function acquire(fingerprint, owner, lock_ttl, ttl)
  local fresh = not is_remembered()
  local doubt = (not fresh and is_doubtful()) and '1' or '0'
  local fence = next_fence()
  local locked_until, expires_at = now + lock_ttl, now + ttl
  redis.call('HSET', record, 'f', fingerprint, 's', 'held', 'n', fence, 'o', owner, 'l', whole(locked_until),
    'e', whole(expires_at), 't', whole(ttl), 'd', doubt)
  redis.call('HDEL', record, 'r')
  if fresh then
    redis.call('HDEL', record, 'pn', 'pd')
    known.pn = false
  end
  keep(expires_at, locked_until)
  known.n, known.d = fence, doubt
  return acquired()
end

local function begin(fingerprint, owner, lock_ttl, ttl, take_doubtful)
  if is_remembered() then
    if known.f ~= fingerprint then return { 'mismatch' } end
    if known.s == 'done' then return { 'replay', known.r or '' } end
    if is_locked() then
      if known.o == owner then return acquired() end
      return { 'inFlight', whole(tonumber(known.l) - now) }
    end
    if is_doubtful() and take_doubtful ~= '1' then return { 'inDoubt', known.n } end
  end
  return acquire(fingerprint, owner, tonumber(lock_ttl), tonumber(ttl))
end

local function renew(fence, lock_ttl)
  if not is_held_by(fence) then return 'lost' end
  local expires_at, locked_until = now + tonumber(known.t), now + tonumber(lock_ttl)
  redis.call('HSET', record, 'e', whole(expires_at), 'l', whole(locked_until))
  keep(expires_at, locked_until)
  return 'ok'
end

local function checkpoint(fence, lock_ttl, name, data)
  if not is_held_by(fence) then return 'lost' end
  redis.call('HSET', record, 'pn', name, 'pd', data, 'd', '0')
  return renew(fence, lock_ttl)
end

local function complete(fence, ttl, result)
  if is_settled_by(fence, 'done') then return 'ok' end
  if not is_held_by(fence) then return 'lost' end
  local expires_at = now + tonumber(ttl)
  redis.call('HSET', record, 's', 'done', 'r', result, 'd', '0', 't', ttl, 'e', whole(expires_at))
  redis.call('HDEL', record, 'pn', 'pd')
  keep(expires_at, 0)
  return 'ok'
end

local function fail(fence, retryable)
  if is_settled_by(fence, 'open') then return 'ok' end
  if not is_held_by(fence) then return 'lost' end
  local expires_at = now + tonumber(known.t)
  redis.call('HSET', record, 's', 'open', 'd', retryable == '1' and known.d or '1', 'e', whole(expires_at))
  keep(expires_at, 0)
  return 'ok'
end

local function release(owner)
  if known.s ~= 'held' or known.o ~= owner then return 'ok' end
  redis.call('HSET', record, 's', 'open')
  keep(tonumber(known.e), 0)
  return 'ok'
end

local verbs = {
  begin = begin, renew = renew, checkpoint = checkpoint, complete = complete, fail = fail, release = release
}
return verbs[verb](unpack(ARGV, 2))

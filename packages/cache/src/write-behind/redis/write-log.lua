-- The verbs of a write log. The rules are those of log-table.ts.
-- KEYS, all of one log and in one slot: values (hash: key to value), rows (hash: key to "version fence attempts state"),
-- errors (hash), fresh (zset: not tried, by when it is due), due (zset: tried or held, by when it is due or its lease
-- ends), since (zset: pending, by the first version that the source may lack), dead (zset: by when it died), latest
-- (the highest number given out). States: f fresh, w waiting, h held, d dead. Times are whole milliseconds of this
-- server's clock.

local values, rows, errors, fresh, due, since, dead, latest = unpack(KEYS)
local time = redis.call('TIME')
local micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now = math.floor(micros / 1000)

local function whole(number) return string.format('%.0f', number) end

local highest
-- Not below the time in microseconds: it rises even after the counter was lost with the server's data.
local function next_number()
  highest = highest or tonumber(redis.call('GET', latest) or '0')
  highest = math.max(highest + 1, micros)
  return highest
end

local function keep_number()
  if highest then redis.call('SET', latest, whole(highest)) end
end

local function row_of(key)
  local text = redis.call('HGET', rows, key)
  if not text then return nil end
  local version, fence, attempts, state = string.match(text, '^(%d+) (%d+) (%d+) (%a)$')
  return { version = tonumber(version), fence = tonumber(fence), attempts = tonumber(attempts), state = state }
end

local function enter(key, row, state, at)
  row.state = state
  redis.call('HSET', rows, key,
    whole(row.version) .. ' ' .. whole(row.fence) .. ' ' .. whole(row.attempts) .. ' ' .. state)
  redis.call('ZREM', state == 'f' and due or fresh, key)
  if state == 'd' then
    redis.call('ZREM', due, key)
    redis.call('ZREM', since, key)
    redis.call('ZADD', dead, whole(at), key)
  else
    redis.call('ZADD', state == 'f' and fresh or due, whole(at), key)
  end
end

local function remove(key)
  for _, set in ipairs({ fresh, due, since, dead }) do redis.call('ZREM', set, key) end
  for _, hash in ipairs({ values, rows, errors }) do redis.call('HDEL', hash, key) end
end

local function held_by(key, fence)
  local row = row_of(key)
  if row and row.state == 'h' and row.fence == tonumber(fence) then return row end
end

local function append(key, value, delay, max_keys)
  local row = row_of(key)
  if not row then
    local keys = redis.call('HLEN', rows)
    if keys >= tonumber(max_keys) then return { 'full', keys } end
    row = { fence = 0, state = 'd' }
  end
  row.version, row.attempts = next_number(), 0
  redis.call('HSET', values, key, value)
  if row.state == 'd' then
    redis.call('ZREM', dead, key)
    redis.call('HDEL', errors, key)
    redis.call('ZADD', since, whole(row.version), key)
    enter(key, row, 'f', now + tonumber(delay))
  else
    redis.call('HSET', rows, key, whole(row.version) .. ' ' .. whole(row.fence) .. ' 0 ' .. row.state)
  end
  return { 'appended', whole(row.version) }
end

local function read(key)
  local row = row_of(key)
  if not row or row.state == 'd' then return false end
  return redis.call('HGET', values, key)
end

-- Those that are due, of both sets, each in its order: key, time, key, time, ...
local function due_in(set, until_when, limit)
  return redis.call('ZRANGEBYSCORE', set, '-inf', until_when, 'WITHSCORES', 'LIMIT', 0, limit)
end

local function claim(limit, lease, early)
  local reply, left = {}, tonumber(limit)
  local function take(key)
    local row = row_of(key)
    row.fence, row.attempts = next_number(), row.attempts + 1
    enter(key, row, 'h', now + tonumber(lease))
    for _, word in ipairs({ key, redis.call('HGET', values, key), whole(row.version), whole(row.fence),
      whole(row.attempts) }) do reply[#reply + 1] = word end
    left = left - 1
  end
  local tried, new = due_in(due, whole(now), limit), due_in(fresh, whole(now), limit)
  local t, n = 1, 1
  while left > 0 and (tried[t] or new[n]) do
    if not new[n] or (tried[t] and tonumber(tried[t + 1]) <= tonumber(new[n + 1])) then
      take(tried[t])
      t = t + 2
    else
      take(new[n])
      n = n + 2
    end
  end
  if early == '1' and left > 0 then
    local rest = due_in(fresh, '+inf', left)
    for index = 1, #rest, 2 do take(rest[index]) end
  end
  local first
  for _, set in ipairs({ due, fresh }) do
    local at = tonumber(redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2])
    if at and (not first or at < first) then first = at end
  end
  return { first and whole(math.max(0, first - now)) or '', unpack(reply) }
end

-- Fences and keys in turn.
local function renew(lease, ...)
  local reply, words = {}, { ... }
  for index = 1, #words, 2 do
    local row = held_by(words[index + 1], words[index])
    if row then redis.call('ZADD', due, whole(now + tonumber(lease)), words[index + 1]) end
    reply[#reply + 1] = row and 'ok' or 'lost'
  end
  return reply
end

local function settle_one(key, fence, version, kind, delay, counts, error_text)
  local row = held_by(key, fence)
  if not row then return 'lost' end
  local is_newest = row.version == tonumber(version)
  if kind == 'written' then
    if is_newest then
      remove(key)
    else
      redis.call('ZADD', since, whole(row.version), key)
      enter(key, row, 'f', now)
    end
  elseif kind == 'failed' then
    if is_newest then
      redis.call('HSET', errors, key, error_text)
      if counts ~= '1' then row.attempts = row.attempts - 1 end
    end
    enter(key, row, 'w', now + tonumber(delay))
  elseif kind == 'dead' and is_newest then
    redis.call('HSET', errors, key, error_text)
    enter(key, row, 'd', now)
  else
    if is_newest then row.attempts = row.attempts - 1 end
    enter(key, row, row.attempts > 0 and 'w' or 'f', now)
  end
  return 'ok'
end

-- Seven words for each.
local function settle(...)
  local reply, words = {}, { ... }
  for index = 1, #words, 7 do
    reply[#reply + 1] = settle_one(words[index], words[index + 1], words[index + 2], words[index + 3],
      words[index + 4], words[index + 5], words[index + 6])
  end
  return reply
end

local function stats()
  local oldest = redis.call('ZRANGE', since, 0, 0, 'WITHSCORES')[2]
  return { redis.call('ZCARD', since), redis.call('ZCARD', dead), redis.call('GET', latest) or '0',
    oldest and whole(tonumber(oldest)) or '' }
end

local function dead_entries(limit, offset)
  local reply = {}
  local keys = redis.call('ZRANGE', dead, offset, whole(tonumber(offset) + tonumber(limit) - 1), 'WITHSCORES')
  for index = 1, #keys, 2 do
    local key, row = keys[index], row_of(keys[index])
    for _, word in ipairs({ key, redis.call('HGET', values, key), whole(row.version), whole(row.attempts),
      redis.call('HGET', errors, key) or '', whole(tonumber(keys[index + 1])) }) do reply[#reply + 1] = word end
  end
  return reply
end

local function redrive_one(key)
  local row = row_of(key)
  if not row or row.state ~= 'd' then return 0 end
  row.version, row.attempts = next_number(), 0
  redis.call('ZREM', dead, key)
  redis.call('HDEL', errors, key)
  redis.call('ZADD', since, whole(row.version), key)
  enter(key, row, 'f', now)
  return 1
end

local function redrive(...)
  local count = 0
  for _, key in ipairs({ ... }) do count = count + redrive_one(key) end
  return count
end

-- Those that died first.
local function redrive_some(limit)
  return redrive(unpack(redis.call('ZRANGE', dead, 0, tonumber(limit) - 1)))
end

local function discard(...)
  local count = 0
  for _, key in ipairs({ ... }) do
    local row = row_of(key)
    if row and row.state == 'd' then
      remove(key)
      count = count + 1
    end
  end
  return count
end

local verbs = {
  append = append, read = read, claim = claim, renew = renew, settle = settle, stats = stats,
  dead_entries = dead_entries, redrive = redrive, redrive_some = redrive_some, discard = discard
}
local reply = verbs[ARGV[1]](unpack(ARGV, 2))
keep_number()
return reply

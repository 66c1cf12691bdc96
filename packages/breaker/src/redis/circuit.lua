-- The verbs of one shared circuit. The rules are those of shared/fleet-record.ts.
-- KEYS: feed (keys by generation, for those who watch), records (by key), then, but for `changes`, votes (voters by the
-- time until which they count) and leases (tokens by the time until which they last).
-- A record: generation, open (0 or 1), open until, opens, last open time, closed at, probed, kept until.
-- Times are whole milliseconds of this server's clock, below 2^53.

local feed, records, votes, leases = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local verb, keep, key = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- Most circuits kept; beyond it those are forgotten that changed longest ago.
local MOST = 10000

local function whole(number) return string.format('%.0f', number) end

local function unknown()
  return { generation = 0, open = 0, open_until = 0, opens = 0, last_open = 0, closed_at = 0, probed = 0, kept = 0 }
end

local function record_of(id)
  local words = {}
  for word in string.gmatch(redis.call('HGET', records, id) or '', '%S+') do words[#words + 1] = tonumber(word) end
  if #words < 8 or now >= words[8] then return unknown() end
  return {
    generation = words[1], open = words[2], open_until = words[3], opens = words[4], last_open = words[5],
    closed_at = words[6], probed = words[7], kept = words[8]
  }
end

-- A second longer than the rules ask for, so that they decide and not the moment of removal.
local function lives_until(name, at)
  local ttl = at - now + 1000
  if redis.call('PTTL', name) < ttl then redis.call('PEXPIRE', name, whole(ttl)) end
end

local function circuit_words(id, record, voters, probing)
  local open_for = record.open == 1 and math.max(0, record.open_until - now) or 0
  return { id, whole(record.generation), record.open, whole(open_for), record.opens, voters, probing, record.probed }
end

local function changes(after, limit)
  local reply = {}
  local ids = redis.call('ZRANGEBYSCORE', feed, '(' .. after, '+inf', 'LIMIT', 0, limit)
  for index, id in ipairs(ids) do
    local score = redis.call('ZSCORE', feed, id)
    reply[index] = { score, circuit_words(id, record_of(id), 0, 0) }
  end
  return reply
end

if verb == 'changes' then return changes(ARGV[3], ARGV[4]) end

local record = record_of(key)
redis.call('ZREMRANGEBYSCORE', votes, '-inf', now)
redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)

local function circuit()
  return circuit_words(key, record, redis.call('ZCARD', votes), redis.call('ZCARD', leases))
end

-- Remembered for longer than anything of it lasts.
local function save()
  local rest = record.open == 1 and record.open_until or record.closed_at + record.last_open
  local lease = redis.call('ZREVRANGE', leases, 0, 0, 'WITHSCORES')
  record.kept = math.max(record.kept, now + keep, rest + keep, tonumber(lease[2] or '0') + keep)
  redis.call('HSET', records, key, table.concat({
    whole(record.generation), record.open, whole(record.open_until), record.opens, whole(record.last_open),
    whole(record.closed_at), record.probed, whole(record.kept)
  }, ' '))
  lives_until(records, record.kept)
  lives_until(feed, record.kept)
end

-- Above all that were drawn for this prefix; not below the time in microseconds, so that it rises even after the data
-- was lost.
local function next_generation()
  local top = redis.call('ZREVRANGE', feed, 0, 0, 'WITHSCORES')
  return math.max(tonumber(top[2] or '0') + 1, tonumber(time[1]) * 1000000 + tonumber(time[2]))
end

local function forget_oldest()
  local over = redis.call('ZCARD', feed) - MOST
  if over <= 0 then return end
  for _, id in ipairs(redis.call('ZRANGE', feed, 0, over - 1)) do redis.call('HDEL', records, id) end
  redis.call('ZREMRANGEBYRANK', feed, 0, over - 1)
end

local function become(fields)
  local generation = next_generation()
  record = unknown()
  record.generation = generation
  for name, value in pairs(fields) do record[name] = value end
  redis.call('DEL', votes, leases)
  redis.call('ZADD', feed, whole(generation), key)
  save()
  forget_oldest()
end

local function open(initial, most, factor, stretch, at_least)
  -- A callee that was well for as long as it was left alone begins anew.
  local rested = record.open == 0 and now - record.closed_at >= record.last_open
  local opens = rested and 1 or record.opens + 1
  local grown = tonumber(initial) * tonumber(factor) ^ (opens - 1)
  local last_open = math.ceil(math.min(tonumber(most), grown) * tonumber(stretch))
  local open_until = now + math.max(last_open, tonumber(at_least))
  become({ open = 1, open_until = open_until, opens = opens, last_open = last_open })
end

local function vote(voter, generation, quorum, window, ...)
  if record.open == 1 or tonumber(generation) < record.generation then return circuit() end
  local counts_until = now + tonumber(window)
  redis.call('ZADD', votes, whole(counts_until), voter)
  lives_until(votes, counts_until)
  if redis.call('ZCARD', votes) >= tonumber(quorum) then open(...)
  elseif record.generation > 0 then save() end
  return circuit()
end

local function refused(retry_after) return { 0, whole(retry_after), circuit() } end

local function lease(token, generation, probes, lease_ms)
  if record.open == 0 then return refused(0) end
  if now < record.open_until then return refused(record.open_until - now) end
  if tonumber(generation) ~= record.generation then return refused(0) end
  if not redis.call('ZSCORE', leases, token) then
    local ends_at = now + tonumber(lease_ms)
    if redis.call('ZCARD', leases) >= tonumber(probes) - record.probed then
      local first = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
      return refused(math.min(ends_at, tonumber(first[2] or ends_at)) - now)
    end
    redis.call('ZADD', leases, whole(ends_at), token)
    lives_until(leases, ends_at)
    save()
  end
  return { 1, '0', circuit() }
end

local function ended(token, generation, verdict, probes, ...)
  if tonumber(generation) ~= record.generation or not redis.call('ZSCORE', leases, token) then
    return { 0, circuit() }
  end
  redis.call('ZREM', leases, token)
  if verdict == 'succeeded' then record.probed = record.probed + 1 end
  if verdict == 'failed' then open(...)
  elseif record.probed >= tonumber(probes) then
    become({ opens = record.opens, last_open = record.last_open, closed_at = now })
  else save() end
  return { 1, circuit() }
end

local function read() return circuit() end

local verbs = { read = read, vote = vote, lease = lease, ended = ended }
return verbs[verb](unpack(ARGV, 4))

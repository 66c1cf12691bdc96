-- What the caches of one name share, in one slot. The rules are those of shared/memory-store.ts.
-- KEYS: tags (numbers of invalidated tags), log (numbers of changed keys), then one key for each call that is about one.
-- ARGV: the number of calls, then of each its verb, how many words follow, and the words.
-- All numbers of the slot are drawn from one sequence, which is not below the time in microseconds: it rises even after
-- the data was lost. Times are whole milliseconds of this server's clock.
--
-- tags, sorted by number: 't' and a tag; '!last' the latest number drawn; '!clear' the latest clear; '!floor' tags that
-- are not remembered were invalidated no later; '!born' when this set was made: what is older belongs to data that is gone.
-- log: 'k' and a key; '!floor' changes up to it are not remembered.
-- A key, as a hash: m its value's version, stored at, fresh ms, lasts until, load ms; v the payload (none: it is known
-- that there is none); t the tags, as JSON; l the lease's fence and end, h its holder; w the writes' fence, end and whether overlapped;
-- q until when what is stale is not loaded again.
-- Whoever changes something says so on the channel that is named as the tags are, for those who do not want to wait.

local tags, log = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now = math.floor(micros / 1000)

-- Most tags, and most changes, that are remembered; most changes in one answer.
local MOST_TAGS, MOST_CHANGES, TOLD = 100000, 10000, 1000
-- What is remembered outlives the values and leases that it is needed for by this.
local MARGIN = 60000

local function whole(number) return string.format('%.0f', number) end

local function score(set, member) return tonumber(redis.call('ZSCORE', set, member) or '0') end

local last = score(tags, '!last')
local born = score(tags, '!born')

local function draw()
  last = math.max(last + 1, micros)
  redis.call('ZADD', tags, whole(last), '!last')
  return last
end

if born == 0 then
  born = draw()
  redis.call('ZADD', tags, whole(born), '!born', whole(born), '!floor', whole(born), '!clear')
  redis.call('PEXPIRE', tags, MARGIN)
end
local cleared = score(tags, '!clear')

local function lives(name, ms)
  if redis.call('PTTL', name) < ms then redis.call('PEXPIRE', name, whole(ms)) end
end

local function remember(set, member, most)
  local number = draw()
  redis.call('ZADD', set, whole(number), member)
  local over = redis.call('ZCARD', set) - most
  if over > 0 then
    -- A tenth at once, so that it is not done each time; the marks among them come back.
    local dropped = redis.call('ZRANGE', set, 0, over + most / 10, 'WITHSCORES')
    redis.call('ZREMRANGEBYRANK', set, 0, over + most / 10)
    redis.call('ZADD', set, dropped[#dropped], '!floor')
    if set == tags then redis.call('ZADD', set, whole(born), '!born', whole(cleared), '!clear') end
  end
  return number
end

local function change(id)
  if redis.call('EXISTS', log) == 0 then redis.call('ZADD', log, whole(draw()), '!floor') end
  local number = remember(log, 'k' .. id, MOST_CHANGES)
  redis.call('PEXPIRE', log, 3600000)
  redis.call('PUBLISH', tags, '')
  return number
end

-- What cannot be read is not good.
local function is_good(version, names)
  if not names or version <= cleared or version < born then return false end
  for _, tag in ipairs(names) do
    local number = redis.call('ZSCORE', tags, 't' .. tag) or redis.call('ZSCORE', tags, '!floor')
    if tonumber(number) > version then return false end
  end
  return true
end

local function names_of(json)
  local is_json, names = pcall(cjson.decode, json)
  return is_json and type(names) == 'table' and names or nil
end

local function numbers(text)
  local found = {}
  for word in string.gmatch(text or '', '%S+') do found[#found + 1] = tonumber(word) end
  return found
end

-- What is known of a key now: what is over is gone from it.
local function cell_of(key)
  local fields = redis.pcall('HMGET', key, 'm', 't', 'l', 'w', 'q', 'h')
  if fields.err then
    -- It is none of ours.
    redis.call('DEL', key)
    fields = {}
  end
  local cell = { key = key, writes = {}, quiet = tonumber(fields[5] or '0') or 0, holder = fields[6] }
  local meta = numbers(fields[1])
  if #meta == 5 then
    cell.version, cell.stored, cell.fresh, cell.lasts, cell.load = unpack(meta)
    cell.tags = fields[2] or '[]'
  end
  local lease = numbers(fields[3])
  if #lease == 2 then cell.lease, cell.lease_until = unpack(lease) end
  local in_doubt = false
  local writes = numbers(fields[4])
  for at = 1, #writes, 3 do
    if writes[at + 1] <= now then
      in_doubt = true
    else
      table.insert(cell.writes, { fence = writes[at], ends = writes[at + 1], overlapped = writes[at + 2] })
    end
  end
  -- A writer that has gone silent may have changed the source.
  local is_over = cell.version and (now >= cell.lasts or not is_good(cell.version, names_of(cell.tags)))
  if in_doubt or is_over then
    cell.version = nil
    cell.is_changed = true
  end
  return cell
end

-- Writes a cell back; `payload` only if it is a new one.
local function save(cell, payload)
  local key = cell.key
  local ends = 0
  if cell.version then
    if payload ~= nil then
      redis.call('HDEL', key, 'v')
      redis.call('HSET', key, 'm', table.concat({
        whole(cell.version), whole(cell.stored), whole(cell.fresh), whole(cell.lasts), whole(cell.load)
      }, ' '), 't', cell.tags)
      if payload ~= false then redis.call('HSET', key, 'v', payload) end
    end
    ends = cell.lasts
  else
    redis.call('HDEL', key, 'm', 't', 'v', 'q')
  end
  if cell.lease then
    redis.call('HSET', key, 'l', whole(cell.lease) .. ' ' .. whole(cell.lease_until), 'h', cell.holder)
    ends = math.max(ends, cell.lease_until)
  else
    redis.call('HDEL', key, 'l', 'h')
  end
  local words = {}
  for _, write in ipairs(cell.writes) do
    table.insert(words, whole(write.fence) .. ' ' .. whole(write.ends) .. ' ' .. write.overlapped)
    ends = math.max(ends, write.ends)
  end
  if #words > 0 then redis.call('HSET', key, 'w', table.concat(words, ' ')) else redis.call('HDEL', key, 'w') end
  -- A lease that has run out is still good for as long as nobody has got another, and a writer's silence is to be noticed.
  if ends > now then
    local ms = ends - now + (#words > 0 and MARGIN or 1000)
    redis.call('PEXPIRE', key, whole(ms))
    lives(tags, ms + MARGIN)
  else
    redis.call('DEL', key)
  end
end

local function emptied(cell)
  cell.version, cell.lease, cell.quiet = nil, nil, 0
  for _, write in ipairs(cell.writes) do write.overlapped = 1 end
end

local function put(cell, version, words, at)
  cell.version, cell.stored = version, now
  cell.fresh, cell.lasts, cell.load = tonumber(words[at]), now + tonumber(words[at + 1]), tonumber(words[at + 2])
  cell.tags = words[at + 3]
  redis.call('HDEL', cell.key, 'q')
  -- No sixth word: it is known that there is none.
  save(cell, words[at + 4] or false)
end

local function grant(cell, forced, lease_ms, holder, instead)
  local writing = 0
  for _, write in ipairs(cell.writes) do writing = math.max(writing, write.ends - now) end
  if writing > 0 then return 'writing', 0, writing end
  local held = cell.lease and now < cell.lease_until and cell.lease > cleared and cell.lease >= born
  if held and not forced and cell.lease ~= instead then
    return cell.holder == holder and 'own' or 'held', cell.lease, cell.lease_until - now
  end
  cell.lease, cell.lease_until, cell.holder = draw(), now + lease_ms, holder
  cell.is_changed = true
  return 'granted', cell.lease, 0
end

local verbs = {}

-- have, when to lease, lease ms, idle ms (0: never idle), holder, the fence of a lease that counts as none
function verbs.read(key, words)
  local cell = cell_of(key)
  local wanted, have = words[2], tonumber(words[1])
  local there = cell.version ~= nil
  local fresh = there and now < cell.stored + cell.fresh
  local same = there and cell.version == have
  local paused = there and now < cell.quiet
  local kind, fence, lease_ms = 'none', 0, 0
  if wanted == 'always' or (not paused and ((wanted == 'missing' and not fresh) or
    (wanted == 'same' and (same or not fresh)))) then
    kind, fence, lease_ms = grant(cell, wanted == 'always', tonumber(words[3]), words[5], tonumber(words[6]))
  end
  if cell.is_changed then save(cell) end
  local reply = { kind, whole(fence), whole(lease_ms) }
  if there then
    local idle = tonumber(words[4])
    if idle > 0 then
      local rest = math.max(1, math.min(idle, cell.lasts - now), (cell.lease_until or now) - now)
      redis.call('PEXPIRE', key, whole(rest))
    end
    reply[4] = whole(cell.version)
    reply[5] = same and 1 or 0
    reply[6] = whole(cell.stored + cell.fresh - now)
    reply[7] = whole(cell.fresh)
    reply[8] = whole(cell.load)
    if not same then
      reply[9] = cell.tags
      local payload = redis.call('HGET', key, 'v')
      if payload then reply[10] = payload end
    end
  end
  return reply
end

-- fence, then the value
function verbs.fill(key, words)
  local cell = cell_of(key)
  local fence = tonumber(words[1])
  if cell.lease ~= fence then return 0 end
  cell.lease = nil
  if not is_good(fence, names_of(words[5])) then
    save(cell)
    return 0
  end
  put(cell, fence, words, 2)
  return 1
end

function verbs.set(key, words, id)
  local cell = cell_of(key)
  local version = change(id)
  emptied(cell)
  put(cell, version, words, 1)
  return whole(version)
end

-- lease ms
function verbs.begin(key, words)
  local cell = cell_of(key)
  local fence = draw()
  cell.lease = nil
  local overlapped = #cell.writes > 0 and 1 or 0
  for _, write in ipairs(cell.writes) do write.overlapped = 1 end
  table.insert(cell.writes, { fence = fence, ends = now + tonumber(words[1]), overlapped = overlapped })
  save(cell)
  return whole(fence)
end

-- fence, then the value if the source was changed to one
function verbs.ended(key, words, id)
  local cell = cell_of(key)
  local fence = tonumber(words[1])
  local version = change(id)
  local own
  for at, write in ipairs(cell.writes) do
    if write.fence == fence then own = table.remove(cell.writes, at) break end
  end
  emptied(cell)
  if own and own.overlapped == 0 and words[2] and is_good(fence, names_of(words[5])) then
    put(cell, version, words, 2)
    return 1
  end
  save(cell)
  return 0
end

-- fence, lease ms
function verbs.renew(key, words)
  local cell = cell_of(key)
  local fence, ends = tonumber(words[1]), now + tonumber(words[2])
  local found = cell.lease == fence
  if found then cell.lease_until = ends end
  for _, write in ipairs(cell.writes) do
    if write.fence == fence then write.ends, found = ends, true end
  end
  if not found then return 0 end
  save(cell)
  return 1
end

-- fence, pause ms
function verbs.release(key, words)
  local cell = cell_of(key)
  if cell.lease ~= tonumber(words[1]) then return 0 end
  cell.lease = nil
  if cell.version then redis.call('HSET', key, 'q', whole(now + tonumber(words[2]))) end
  save(cell)
  return 1
end

function verbs.invalidate(key, words, id)
  local cell = cell_of(key)
  change(id)
  emptied(cell)
  save(cell)
  return 1
end

function verbs.tag(_, words)
  remember(tags, 't' .. words[1], MOST_TAGS)
  redis.call('PUBLISH', tags, '')
  return 1
end

function verbs.clear()
  cleared = draw()
  redis.call('ZADD', tags, whole(cleared), '!clear')
  redis.call('PUBLISH', tags, '')
  return 1
end

-- born and number of the latest answer; both 0 for the first
function verbs.changes(_, words)
  if redis.call('EXISTS', log) == 0 then
    redis.call('ZADD', log, whole(draw()), '!floor')
    redis.call('PEXPIRE', log, 3600000)
  end
  local after = tonumber(words[2])
  local reply = { whole(born), whole(last), 1, {} }
  local floor = math.max(score(log, '!floor'), score(tags, '!floor'), cleared)
  if tonumber(words[1]) ~= born or after < floor or after > last then return reply end
  local from = '(' .. words[2]
  local keys = redis.call('ZRANGEBYSCORE', log, from, '+inf', 'WITHSCORES', 'LIMIT', 0, TOLD)
  local names = redis.call('ZRANGEBYSCORE', tags, from, '+inf', 'LIMIT', 0, TOLD)
  if #keys + #names >= TOLD then return reply end
  reply[3] = 0
  local told = reply[4]
  for at = 1, #keys, 2 do
    table.insert(told, keys[at])
    table.insert(told, keys[at + 1])
  end
  for _, name in ipairs(names) do
    if string.sub(name, 1, 1) == 't' then
      table.insert(told, name)
      table.insert(told, '0')
    end
  end
  return reply
end

local replies = {}
local at, next_key = 2, 3
for call = 1, tonumber(ARGV[1]) do
  local verb, count = ARGV[at], tonumber(ARGV[at + 1])
  local words = {}
  for index = 1, count do words[index] = ARGV[at + 1 + index] end
  at = at + 2 + count
  local key, id
  if verb ~= 'tag' and verb ~= 'clear' and verb ~= 'changes' then
    key = KEYS[next_key]
    next_key = next_key + 1
    id = table.remove(words, 1)
  end
  replies[call] = verbs[verb](key, words, id)
end
return replies

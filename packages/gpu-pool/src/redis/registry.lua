-- The rows of one registry of models. The rules are those of registry/table.ts.
-- KEYS: registry (a hash: `revision`, `cut`, `models` and `aliases` count, `m:<key>` and `a:<alias>` are rows as JSON),
-- log (which row each of the last revisions has changed, by revision).
-- All is in one hash, so that what Redis loses it loses as a whole. Revisions are texts in JSON: they have 16 digits.

local registry, log = KEYS[1], KEYS[2]
local verb = ARGV[1]

local function whole(number) return string.format('%.0f', number) end
local function field(name) return redis.call('HGET', registry, name) end
local function row(name)
  local text = field(name)
  return text and cjson.decode(text), text
end

local revision = tonumber(field('revision') or '0')

-- The rows of a kind, by name.
local function names(prefix)
  local found = {}
  for _, name in ipairs(redis.call('HKEYS', registry)) do
    if string.sub(name, 1, 2) == prefix then found[#found + 1] = name end
  end
  table.sort(found)
  return found
end

local function texts(all)
  if #all == 0 then return {} end
  local found = {}
  for start = 1, #all, 1000 do
    local some = redis.call('HMGET', registry, unpack(all, start, math.min(start + 999, #all)))
    for _, text in ipairs(some) do if text then found[#found + 1] = text end end
  end
  return found
end

if verb == 'find' then
  local _, alias = row('a:' .. ARGV[2])
  local key = alias and cjson.decode(alias).target or ARGV[2]
  return { field('m:' .. key) or '', alias or '' }
end

if verb == 'aliases' then return texts(names('a:')) end

if verb == 'page' then
  local after, limit, name = ARGV[2], tonumber(ARGV[3]), ARGV[4]
  local some = {}
  for _, one in ipairs(names('m:')) do
    local key = string.sub(one, 3)
    local fits = name == '' or string.sub(key, 1, #name + 1) == name .. '@'
    if #some < limit and key > after and fits then some[#some + 1] = one end
  end
  return texts(some)
end

if verb == 'changes' then
  local after = tonumber(ARGV[2])
  local known = after == revision or after == tonumber(field('cut') or '0')
    or (revision > 0 and #redis.call('ZRANGEBYSCORE', log, ARGV[2], ARGV[2], 'LIMIT', 0, 1) > 0)
  if not known then return { whole(revision), 1, texts(names('m:')), texts(names('a:')), {} } end
  local seen, models, aliases, removed = {}, {}, {}, {}
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', log, '(' .. ARGV[2], '+inf')) do
    local name = string.match(member, '^%d+ (.*)$')
    if not seen[name] then
      seen[name] = true
      local text = field(name)
      if not text then removed[#removed + 1] = name
      elseif string.sub(name, 1, 2) == 'm:' then models[#models + 1] = text
      else aliases[#aliases + 1] = text end
    end
  end
  return { whole(revision), 0, models, aliases, removed }
end

-- Changes.

local history = tonumber(ARGV[2])

local function draw()
  local time = redis.call('TIME')
  return math.max(revision + 1, tonumber(time[1]) * 1000000 + tonumber(time[2]))
end

-- Everything is read by now: the first write is the last moment at which the server may refuse.
local function touch(name, at)
  -- Of a registry that was lost.
  if revision == 0 then redis.call('DEL', log) end
  redis.call('HSET', registry, 'revision', whole(at))
  redis.call('ZADD', log, whole(at), whole(at) .. ' ' .. name)
  local over = redis.call('ZCARD', log) - history
  if over <= 0 then return end
  local last = redis.call('ZRANGE', log, over - 1, over - 1, 'WITHSCORES')
  redis.call('HSET', registry, 'cut', string.match(last[1], '^%d+'))
  redis.call('ZREMRANGEBYRANK', log, 0, over - 1)
end

local function put(name, value, at)
  touch(name, at)
  value.revision = whole(at)
  local text = cjson.encode(value)
  redis.call('HSET', registry, name, text)
  return text
end

local function answer(verdict, model, alias, used_by)
  return { verdict, model or '', alias or '', used_by or {} }
end

local function is_stale(expected, known)
  return expected ~= '' and tonumber(expected) ~= tonumber(known and known.revision or '0')
end

local function used_by(key)
  local found = {}
  for _, text in ipairs(texts(names('a:'))) do
    local alias = cjson.decode(text)
    if alias.target == key then found[#found + 1] = alias.alias end
  end
  return found
end

if verb == 'register' then
  local key, content, most = ARGV[3], ARGV[4], tonumber(ARGV[5])
  local known, text = row('m:' .. key)
  if known then return answer(known.content == content and 'same' or 'conflict', text) end
  if field('a:' .. key) then return answer('taken') end
  if tonumber(field('models') or '0') >= most then return answer('full') end
  local model = { key = key, content = content, state = 'available', profiles = {} }
  local made = put('m:' .. key, model, draw())
  redis.call('HINCRBY', registry, 'models', 1)
  return answer('done', made)
end

if verb == 'state' then
  local key, state = ARGV[3], ARGV[4]
  local known, text = row('m:' .. key)
  if not known then return answer('unknown') end
  if known.state == state then return answer('same', text) end
  local users = state == 'available' and {} or used_by(key)
  if #users > 0 then return answer('in-use', text, nil, users) end
  known.state = state
  return answer('done', put('m:' .. key, known, draw()))
end

if verb == 'remove' then
  local key = ARGV[3]
  local text = field('m:' .. key)
  if not text then return answer('unknown') end
  local users = used_by(key)
  if #users > 0 then return answer('in-use', text, nil, users) end
  touch('m:' .. key, draw())
  redis.call('HDEL', registry, 'm:' .. key)
  redis.call('HINCRBY', registry, 'models', -1)
  return answer('done')
end

if verb == 'move' then
  local alias, target, expected, most = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
  local known, text = row('a:' .. alias)
  local model, model_text = row('m:' .. target)
  local function refuse(verdict) return answer(verdict, model_text, text) end
  if is_stale(expected, known) then return refuse('stale') end
  if field('m:' .. alias) then return refuse('taken') end
  if not model then return refuse('unknown') end
  if model.state ~= 'available' then return refuse('unavailable') end
  if known and known.target == target then return refuse('same') end
  if not known and tonumber(field('aliases') or '0') >= most then return refuse('full') end
  local moved = put('a:' .. alias, { alias = alias, target = target, previous = known and known.target or nil }, draw())
  if not known then redis.call('HINCRBY', registry, 'aliases', 1) end
  return answer('done', model_text, moved)
end

if verb == 'drop' then
  local alias, expected = ARGV[3], ARGV[4]
  local known, text = row('a:' .. alias)
  if not known then return answer('unknown') end
  if is_stale(expected, known) then return answer('stale', nil, text) end
  touch('a:' .. alias, draw())
  redis.call('HDEL', registry, 'a:' .. alias)
  redis.call('HINCRBY', registry, 'aliases', -1)
  return answer('done')
end

local key, kind, text, expected, most = ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local model, model_text = row('m:' .. key)
if not model then return answer('unknown') end
local known = model.profiles[kind]
if is_stale(expected, known) then return answer('stale', model_text) end
if known and known.text == text then return answer('same', model_text) end
local types = 0
for _ in pairs(model.profiles) do types = types + 1 end
if not known and types >= most then return answer('full', model_text) end
local at = draw()
model.profiles[kind] = { text = text, revision = whole(at) }
return answer('done', put('m:' .. key, model, at))

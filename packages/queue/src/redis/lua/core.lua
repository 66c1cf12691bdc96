-- What all verbs use: the inner part of a function that has state.lua around it.

local function whole(number) return format('%d', number) end

local function send(command, key, words, count)
  for from = 1, count, CHUNK do
    call(command, key, unpack(words, from, math.min(from + CHUNK - 1, count)))
  end
end

-- Writes a table of member to score, or of field to value; `false` takes out.
local function flush(key, changes, put, take, is_set)
  local puts, takes, n, m = {}, {}, 0, 0
  for name, value in pairs(changes) do
    if value == false then
      m = m + 1
      takes[m] = name
    elseif is_set then
      puts[n + 1], puts[n + 2] = whole(value), name
      n = n + 2
    else
      puts[n + 1], puts[n + 2] = name, value
      n = n + 2
    end
  end
  if n > 0 then send(put, key, puts, n) end
  if m > 0 then send(take, key, takes, m) end
end

-- Rows: several IDs as one member of a sorted set. They cost next to nothing, where a member for each would cost a quarter of all
-- that is done for a task. As a list of cmsgpack one begins with a byte above 127, which no name does.

local function row_of(ids, from, to)
  if from == to then return ids[from] end
  return cmsgpack.pack(from == 1 and to == #ids and ids or { unpack(ids, from, to) })
end

local function ids_of(member) return byte(member) > 127 and cmsgpack.unpack(member) or { member } end

-- What is added in one go is in `ready` in rows of tasks whose turns are STEP apart, under the score of the first.

-- Puts a row there, what is left of it from a place on, which has a score. Blanks stand for those who have left it.
local function put_row(ids, from, score)
  while ids[from] == '' do from, score = from + 1, score + STEP end
  if not ids[from] then return end
  call('ZADD', READY, whole(score), row_of(ids, from, #ids))
end

local function flush_ready()
  if not has_ready then return end
  for _, one in ipairs(rows) do put_row(one[2], 1, one[1]) end
  flush(READY, ready, 'ZADD', 'ZREM', true)
  ready, rows, row_next, has_ready = {}, {}, -1, false
end

local function flush_parts()
  if not has_parts then return end
  flush(PARTS, parts, 'HSET', 'HDEL', false)
  parts, has_parts = {}, false
end

-- Turns. Those of what has priority 0 and no tenant, as most tasks, are among the counters. All others are in `flows`: the next
-- turn of each tenant that is ahead, behind a priority and a colon, under scores as in `ready`; behind v and n and a priority
-- what is counted of it, under scores below 0.

local function flow_of(priority)
  local found = flows[priority]
  if found then return found end
  found = { 0, 0, false }
  if has_flows == 1 then
    local turns = call('ZMSCORE', FLOWS, 'v' .. priority, 'n' .. priority)
    found[LAST], found[NEXT] = -tonumber(turns[1] or 0), -tonumber(turns[2] or 0)
  end
  flows[priority] = found
  return found
end

local function flush_flows()
  for priority, changed in pairs(flows) do
    if changed[MOVED] then
      if priority ~= 0 then
        call('ZADD', FLOWS, whole(-changed[LAST]), 'v' .. priority, whole(-changed[NEXT]), 'n' .. priority)
        has_flows = 1
      end
      if has_flows == 1 then
        local rank = (1000 - priority) * RANK
        call('ZREMRANGEBYSCORE', FLOWS, whole(rank), whole(rank + changed[LAST]))
      end
      changed[MOVED] = false
    end
  end
end

-- How many tasks are live.
local function alive() return counts[SCHEDULED] + counts[WAITING] + counts[IS_READY] + counts[RUNNING] end

-- Without live tasks nobody remembers whose turn it was.
local function forget_turns()
  if has_flows == 1 then call('DEL', FLOWS) end
  has_flows = 0
  for _, one in pairs(flows) do one[LAST], one[NEXT], one[MOVED] = 0, 0, false end
end

-- Reads tasks as they are stored, from a first one on, those that have not been read yet.
local function fetch(ids, first)
  local missing, n = {}, 0
  for index = first or 1, #ids do
    local id = ids[index]
    if raws[id] == nil and records[id] == nil then
      n = n + 1
      missing[n] = id
    end
  end
  for from = 1, n, CHUNK do
    local to = math.min(from + CHUNK - 1, n)
    local found = call('HMGET', TASKS, unpack(missing, from, to))
    for index = from, to do raws[missing[index]] = found[index - from + 1] end
  end
end

-- Whether there is such a task, without a look into it.
local function is_known(id)
  if records[id] ~= nil then return records[id] ~= false end
  return raws[id] and true or false
end

local function wake(id)
  if is_watched and call('HDEL', WATCH, 'e' .. id) == 1 then
    news.ids = news.ids or {}
    table.insert(news.ids, id)
  end
end

-- What is kept in a record for a body, and whether that is all of it.
local function short(body)
  if #body <= MAX_BODY then return body, true end
  return '', false
end

-- Changes a task that nothing has looked into.
local function write(id, raw)
  raws[id] = raw
  writes[written + 1], writes[written + 2] = id, raw
  written = written + 2
end

local function word()
  cursor = cursor + 1
  return argv[cursor]
end

local function number()
  cursor = cursor + 1
  return tonumber(argv[cursor])
end

-- What a run may do without is made when it cannot: see rules.lua for the rest.
local made_adding, made_working, made_rest, make_adding, make_working, make_rest

local function enqueue()
  made_adding = made_adding or make_adding()
  return made_adding()
end

local function working()
  made_working = made_working or make_working()
  return made_working
end

local function rest()
  made_rest = made_rest or make_rest()
  return made_rest
end

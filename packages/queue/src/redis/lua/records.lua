-- Tasks as tables, their parts and their events: the inner part of a function that is only made when a run needs it.

local function at(score)
  if score < soonest then soonest = score end
  return score
end

local function id_list()
  local ids = {}
  for index = 1, number() do ids[index] = word() end
  fetch(ids)
  return ids
end

local function parsed(raw)
  local t = { sunpack(RECORD, raw) }
  t[REST] = sub(raw, t[REST])
  return t
end

-- What few tasks have, as a table.
local function rest_of(t)
  local more = t.more
  if not more then
    more = cmsgpack.unpack(t[REST])
    t.more = more
  end
  return more
end

local function set_rest(t, index, value)
  rest_of(t)[index] = value
  t[REST] = false
end

local function packed(t)
  local worker, body = t[WORKER], t[BODY]
  return spack(RECORD, t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9], t[10], t[11], #worker, worker, #body, body, t[14],
    t[15], t[16], t[17], t[18], t[19], t[20], t[21], t[22], t[23], t[24]) .. (t[REST] or cmsgpack.pack(t.more))
end

local function find(id)
  local t = records[id]
  if t ~= nil then return t end
  local raw = raws[id]
  if raw == nil then raw = call('HGET', TASKS, id) end
  t = raw and parsed(raw)
  records[id] = t
  return t
end

local function find_live(id)
  local t = find(id)
  return t and t[STATE] < COMPLETED and t
end

local function flush_records()
  local tasks = {}
  for id in pairs(dirty) do
    local t = records[id]
    if t == nil then tasks[id] = raws[id] else tasks[id] = t and packed(t) end
  end
  flush(TASKS, tasks, 'HSET', 'HDEL', false)
end

-- Parts.

local function part(field)
  local value = parts[field]
  if value == nil then value = call('HGET', PARTS, field) end
  return value
end

local function set_part(field, value) parts[field], has_parts = value, true end

-- Events.

local max_events = tonumber(argv[4])

local function event_text(seq, at_ms, body) return format('{"seq":%d,"at":%d,"type":%s}', seq, at_ms, body) end

-- The events of a flat task, by number.
local function flat_event(t, seq)
  if seq == 1 then return event_text(1, t[ENQUEUED], '"enqueued"') end
  if seq == 2 then return event_text(2, t[STARTED], '"started","attempt":1') end
  return event_text(3, t[FINISHED], '"completed"')
end

local function happened(id, t, at_ms, body)
  if t[FLAT] == 1 then
    for seq = 1, t[SEQ] do set_part(seq .. ':' .. id, flat_event(t, seq)) end
    t[FLAT] = 0
  end
  local seq = t[SEQ] + 1
  t[SEQ] = seq
  set_part(seq .. ':' .. id, event_text(seq, at_ms, body))
  if seq - t[FIRST] >= max_events then
    set_part(t[FIRST] .. ':' .. id, false)
    t[FIRST] = t[FIRST] + 1
  end
  dirty[id] = true
  wake(id)
end

-- Checkpoints: behind c the value of each by name, behind n the name of each by number.

local function checkpoint_field(id, name) return 'c' .. #id .. ':' .. id .. name end

local function recorded(t) return rest_of(t)[RECORDED] or 0 end

-- Whether it was not there.
local function record(id, t, name, value)
  local field = checkpoint_field(id, name)
  if part(field) then return false end
  local count = recorded(t) + 1
  set_rest(t, RECORDED, count)
  set_part(field, value)
  set_part('n' .. count .. ':' .. id, name)
  dirty[id] = true
  return true
end

local function drop_parts(id, t)
  if t[BODY] == '' then
    set_part('r' .. id, false)
    set_part('i' .. id, false)
  end
  if t[FLAT] == 1 then return end
  for seq = t[FIRST], t[SEQ] do set_part(seq .. ':' .. id, false) end
  for index = 1, recorded(t) do
    set_part(checkpoint_field(id, part('n' .. index .. ':' .. id)), false)
    set_part('n' .. index .. ':' .. id, false)
  end
end

-- The verbs that most runs consist of, in the same function as core.lua. What is not plain goes to the rest.

-- Name, delay, priority, tries, lease losses, and how long it is kept: the same for many tasks. The rest is
-- what is stored of a new one that is ready, has no dedup key and no group, around its ORDER and its BODY.
local function kinds_of_task()
  local kinds = {}
  for index = 1, number() do
    local name, delay, priority, attempts, losses, keep, keep_failed =
      word(), number(), number(), number(), number(), number(), number()
    kinds[index] = {
      name = name, delay = delay, priority = priority, attempts = attempts, losses = losses,
      keep = keep, keep_failed = keep_failed, rank = (1000 - priority) * RANK,
      before = spack('<BBBBI4I4dddddI4I4I4I4I4dd', IS_READY, 1, 0, 0, 0, 1, 0, 0, 0, 0, keep,
        0, 0, 1, attempts, losses, now, 0),
      between = spack('<dh', keep_failed, priority), behind = '\0' .. cmsgpack.pack({ name, '', '', '', '', '' }),
    }
  end
  return kinds
end

-- Of each task its ID, kind, input, and whether a dedup key (1), a group (2) or both (3) follow.
local function new_tasks()
  local tasks, ids = {}, {}
  for index = 1, number() do
    local id, extras = argv[cursor + 1], argv[cursor + 4]
    local task = { id, tonumber(argv[cursor + 2]), argv[cursor + 3], false, false }
    cursor = cursor + 4
    if extras ~= '0' then
      task[4] = extras ~= '2' and word()
      task[5] = extras ~= '1' and word()
    end
    tasks[index], ids[index] = task, id
  end
  fetch(ids)
  return tasks
end

local function count_new(tasks, first, last)
  local fresh, ids, keys = 0, {}, {}
  for index = first, last do
    local id, key = tasks[index][1], tasks[index][4]
    local is_old = is_known(id) or ids[id] or (key and (keys[key] or call('HEXISTS', DEDUP, key) == 1))
    if not is_old then
      fresh = fresh + 1
      ids[id] = true
      if key then keys[key] = true end
    end
  end
  return fresh
end

-- 0 when it was added, 1 when its ID is taken, the ID of the live task that has its key.
local function add(task, kind)
  local id, key, group = task[1], task[4], task[5]
  if is_known(id) then return 1 end
  local body, is_whole = short(task[3])
  if key or group or kind.delay > 0 then
    local outcome = rest().add_special(id, kind, body, key, group)
    if outcome ~= 0 then return outcome end
  else
    order = order + 1
    counts[IS_READY] = counts[IS_READY] + 1
    records[id], dirty[id] = nil, nil
    write(id, kind.before .. spack('<d', order) .. kind.between .. spack('<I4', #body) .. body .. kind.behind)
    ready[id] = kind.rank + order
    has_ready, news.has_work = true, true
  end
  if not is_whole then inputs[id], has_inputs = task[3], true end
  return 0
end

-- The tasks of one caller, from `first` to `last`: all are added, or none if that would be more than the limit.
local function enqueue_some(tasks, first, last, kinds, limit)
  local alive = counts[SCHEDULED] + counts[IS_READY] + counts[RUNNING]
  if alive + last - first + 1 > limit then
    -- Redrives may have gone beyond the limit: what adds nothing fits all the same.
    local fresh = count_new(tasks, first, last)
    if fresh > 0 and alive + fresh > limit then return { -1, alive } end
  end
  local outcomes, all_new = {}, true
  for index = first, last do
    local task = tasks[index]
    local outcome = add(task, kinds[task[2]])
    outcomes[index - first + 1] = outcome
    if outcome ~= 0 then all_new = false end
  end
  return all_new and 0 or outcomes
end

-- Of several callers: how many tasks each has, then all of them.
local function enqueue()
  local limit, sizes = number(), {}
  for index = 1, number() do sizes[index] = number() end
  local kinds, tasks = kinds_of_task(), new_tasks()
  local answers, last = {}, 0
  for index, size in ipairs(sizes) do
    answers[index] = enqueue_some(tasks, last + 1, last + size, kinds, limit)
    last = last + size
  end
  return answers
end

-- Leases a task. Answers its attempt, what the worker before wants to know, and its input.
local function lease(id, worker, worker_text, due)
  fence = fence + 1
  local raw = records[id] == nil and raws[id]
  if raw then
    local state, flat, keyed, grouped, attempt, seq, _, _, _, _, keep = sunpack(HOT, raw)
    -- What most are: new.
    if flat == 1 and seq == 1 then
      local body, worker_at = sunpack('<I4c0', raw, BODY_AT)
      write(id, spack(HOT, RUNNING, 1, keyed, grouped, 1, 2, fence, due, now, 0, keep)
        .. sub(raw, WARM_AT, worker_at - 1) .. worker_text .. sub(raw, worker_at + 1))
      counts[IS_READY], counts[RUNNING] = counts[IS_READY] - 1, counts[RUNNING] + 1
      live[id] = due
      if is_watched then wake(id) end
      return 1, 0, body
    end
  end
  return rest().lease_again(id, worker, due)
end

local function claim()
  local worker, max, lease_ms = word(), number(), number()
  local claimed = {}
  if max <= 0 or counts[IS_READY] == 0 then return claimed end
  flush_ready()
  local popped, ids = call('ZPOPMIN', READY, max), {}
  for index = 1, #popped, 2 do ids[(index + 1) / 2] = popped[index] end
  if #ids == 0 then return claimed end
  fetch(ids)
  local worker_text, due, size = spack('Bc0', #worker, worker), at(now + lease_ms), 0
  for index = 1, #ids do
    local id = ids[index]
    local attempt, backoff, input = lease(id, worker, worker_text, due)
    claimed[size + 1], claimed[size + 2], claimed[size + 3] = id, fence, attempt
    claimed[size + 4], claimed[size + 5] = backoff, input ~= '' and input or inputs[id] or call('HGET', INPUTS, id)
    size = size + 5
  end
  return claimed
end

-- Completes a task that has no dedup key and no group and was never tried before, which most are, without a look into its
-- record. Answers whether it was one, and its lease was held.
local function complete_plain(id, its_fence, result)
  local raw = records[id] == nil and raws[id]
  if not raw then return false end
  local state, flat, keyed, grouped, attempt, seq, known_fence, due, started, _, keep = sunpack(HOT, raw)
  if state ~= RUNNING or flat ~= 1 or seq ~= 2 or keyed == 1 or grouped == 1 then return false end
  if known_fence ~= its_fence or now >= due then return false end
  local _, body_end = sunpack('<I4c0', raw, BODY_AT)
  -- Large inputs and results take the long way.
  if body_end == BODY_AT + 4 or #result > MAX_BODY then return false end
  local forgotten_at = now + keep
  write(id, spack(HOT, COMPLETED, 1, 0, 0, attempt, 3, known_fence, forgotten_at, started, now, keep)
    .. sub(raw, WARM_AT, BODY_AT - 1) .. spack('<I4', #result) .. result .. sub(raw, body_end))
  counts[RUNNING], counts[COMPLETED] = counts[RUNNING] - 1, counts[COMPLETED] + 1
  live[id], kept[id] = false, forgotten_at
  if forgotten_at < soonest then soonest = forgotten_at end
  if is_watched then wake(id) end
  return true
end

local function settle_one()
  local kind, id, its_fence = argv[cursor + 1], argv[cursor + 2], tonumber(argv[cursor + 3])
  if kind == 'c' and complete_plain(id, its_fence, argv[cursor + 4]) then
    cursor = cursor + 4
    return 1
  end
  return rest().settle_one()
end

-- Finds what is to be settled in one go: the IDs are every fourth word while all are completions, which most are.
local function fetch_settled(count)
  local ids, place = {}, cursor
  for index = 1, count do
    if argv[place + 1] ~= 'c' then break end
    ids[index] = argv[place + 2]
    place = place + 4
  end
  fetch(ids)
end

local function settle()
  local outcomes, all_written = {}, true
  local count = number()
  fetch_settled(count)
  for index = 1, count do
    local outcome = settle_one()
    outcomes[index] = outcome
    if outcome ~= 1 then all_written = false end
  end
  local has_claim = number() == 1
  return { all_written and 1 or outcomes, has_claim and claim() or {} }
end


-- The verbs that most runs consist of, in the same function as core.lua. What is not plain goes to the rest.

-- Name, delay, priority, tries, lease losses, how long it is kept, how far it moves the next turn, and whether more is said of
-- each: the same for many tasks. The rest is what is stored of a new one of which no more is said and that is ready, around
-- its order and its BODY.
local function kinds_of_task()
  local kinds = {}
  for index = 1, number() do
    local name, delay, priority, attempts, losses, keep, keep_failed, cost, has_more =
      word(), number(), number(), number(), number(), number(), number(), number(), word() == '1'
    kinds[index] = {
      name = name, delay = delay, priority = priority, attempts = attempts, losses = losses, cost = cost,
      keep = keep, keep_failed = keep_failed, has_more = has_more, rank = (1000 - priority) * RANK,
      is_plain = delay == 0 and not has_more, flow = flow_of(priority),
      before = spack('<BBBBI4I4dddddBI4I4I4I4I4dddh', IS_READY, 1, 0, 0, 0, 1, 0, 0, now, 0, keep, 0,
        0, 0, 1, attempts, losses, now, 0, keep_failed, priority),
      behind = cmsgpack.pack({ name }),
    }
  end
  return kinds
end

-- Runs of tasks of one kind: of each its ID, its input and, if more is said of it, that as JSON.
local function new_tasks()
  local kinds, tasks, ids, n = kinds_of_task(), {}, {}, 0
  for _ = 1, number() do
    local kind, count = kinds[number()], number()
    for _ = 1, count do
      local task = { word(), word(), kind, false }
      if kind.has_more then task[4] = cjson.decode(word()) end
      n = n + 1
      tasks[n], ids[n] = task, task[1]
    end
  end
  fetch(ids)
  return tasks
end

-- Puts a ready task into a row, behind the one before if that fits.
local function append(id, score, cost)
  if score == row_next and row_size < MAX_ROW then
    row_size = row_size + 1
    row[row_size] = id
  else
    row, row_size = { id }, 1
    rows[#rows + 1] = { score, row }
  end
  row_next = cost == STEP and score + STEP or -1
end

-- 0 when it was added, 1 when its ID is taken, 2 when it has no parent, the ID of the live task that has its key.
local function add(task)
  local id, kind = task[1], task[3]
  if is_known(id) then return 1 end
  local body, is_whole = short(task[2])
  if kind.is_plain then
    order = order + 1
    counts[IS_READY], counts[ADDED] = counts[IS_READY] + 1, counts[ADDED] + 1
    records[id], dirty[id] = nil, nil
    local its_flow = kind.flow
    local turn, last = its_flow[NEXT], its_flow[LAST]
    if last > turn then turn = last end
    its_flow[NEXT], its_flow[MOVED] = turn + kind.cost, true
    write(id, kind.before .. spack('<ddI4', order, turn, #body) .. body .. kind.behind)
    if has_ready then ready[id] = nil end
    append(id, kind.rank + turn, kind.cost)
    has_ready, news.has_work = true, true
  else
    local outcome = rest().add_special(id, kind, body, task[4])
    if outcome ~= 0 then return outcome end
  end
  if not is_whole then parts['i' .. id], has_parts = task[2], true end
  return 0
end

-- The tasks of one caller, from `first` to `last`: all are added, or none if that would be more than the limit.
local function enqueue_some(tasks, first, last, limit)
  local alive = counts[SCHEDULED] + counts[WAITING] + counts[IS_READY] + counts[RUNNING]
  if alive + last - first + 1 > limit then
    -- Redrives may have gone beyond the limit: what adds nothing fits all the same.
    local fresh = rest().count_new(tasks, first, last)
    if fresh > 0 and alive + fresh > limit then return { -1, alive } end
  end
  if alive == 0 then forget_turns() end
  local outcomes, all_new = {}, true
  for index = first, last do
    local outcome = add(tasks[index])
    outcomes[index - first + 1] = outcome
    if outcome ~= 0 then all_new = false end
  end
  if made_rest then made_rest.end_parents_wait() end
  return all_new and 0 or outcomes
end

-- Of several callers: how many tasks each has, then all of them.
local function enqueue()
  local limit, sizes = number(), {}
  for index = 1, number() do sizes[index] = number() end
  local tasks, answers, last = new_tasks(), {}, 0
  for index, size in ipairs(sizes) do
    answers[index] = enqueue_some(tasks, last + 1, last + size, limit)
    last = last + size
  end
  return answers
end

-- Leases a task. Answers its input, and what else its worker wants to know of it: 0 if it is new. Answers nothing when it may not
-- start.
local function lease(id, worker, due)
  local raw = records[id] == nil and raws[id]
  if not raw then return rest().lease_again(id, worker, due) end
  local _, flat, at_start, at_end, _, seq, _, _, since, _, keep = sunpack(HOT, raw)
  -- What most are: new.
  if flat == 0 or seq > 1 or at_start == 1 then return rest().lease_again(id, worker, due) end
  fence = fence + 1
  write(id, spack(HOT_AND_WORKER, RUNNING, 1, 0, at_end, 1, 2, fence, due, now, 0, keep, #worker, worker) .. sub(raw, WORKER_AT))
  counts[WAITED] = counts[WAITED] + now - since
  counts[IS_READY], counts[RUNNING] = counts[IS_READY] - 1, counts[RUNNING] + 1
  running[id] = due
  if is_watched then wake(id) end
  return (sunpack('<I4c0', raw, BODY_AT)), 0
end

-- Takes IDs of a row, up to `wanted` and to those whose turn is behind a score, and puts back what is left: alone what ten such
-- claims would take, so that small claims need not take rows apart each time. Answers whether anything was left.
local function take_of_row(ids, scores, member, score, wanted, limit)
  local members, place, count = cmsgpack.unpack(sub(member, 2)), 1, #ids
  if call('ZCOUNT', READY, whole(score), whole(score + MAX_ROW * STEP)) > 0 then
    limit = math.min(limit, tonumber(call('ZRANGE', READY, 0, 0, 'WITHSCORES')[2]))
  end
  while count < wanted and place <= #members and score <= limit do
    if members[place] ~= '' then
      count = count + 1
      ids[count], scores[count] = members[place], score
    end
    place, score = place + 1, score + STEP
  end
  if not members[place] then return false end
  if place + 10 * wanted <= #members then
    for _ = 1, 10 * wanted do
      if members[place] ~= '' then call('ZADD', READY, whole(score), members[place]) end
      place, score = place + 1, score + STEP
    end
  end
  put_row(members, place, score)
  return true
end

-- Takes up to `wanted` tasks out of `ready`: their IDs and scores, in order. How many members that are it learns on the way.
local function take_ready(wanted)
  local ids, scores, size = {}, {}, 1
  while #ids < wanted do
    local popped, is_over = call('ZPOPMIN', READY, size), false
    if #popped == 0 then break end
    size = math.min(2 * size, wanted)
    for index = 1, #popped, 2 do
      local member, score = popped[index], tonumber(popped[index + 1])
      if is_over or #ids == wanted then
        call('ZADD', READY, popped[index + 1], member)
      elseif byte(member) ~= 2 then
        ids[#ids + 1], scores[#scores + 1] = member, score
      else
        is_over = take_of_row(ids, scores, member, score, wanted, tonumber(popped[index + 3] or NEVER * 2))
        size = 1
      end
    end
  end
  return ids, scores
end

-- Whose turn it has been, by the scores of what was claimed, in order.
local function take_turns(scores, count)
  local is_one = floor(scores[count] / RANK) == floor(scores[1] / RANK)
  for index = is_one and count or 1, count do
    local negative = floor(scores[index] / RANK)
    local its_flow, turn = flow_of(1000 - negative), scores[index] - negative * RANK
    if turn > its_flow[LAST] then its_flow[LAST], its_flow[MOVED] = turn, true end
  end
end

-- The fence of the first, each next one has the next; then of each its ID, its input, and what else its worker wants to know.
local function claim()
  local worker, max, lease_ms = word(), number(), number()
  if max <= 0 or is_paused == 1 or counts[IS_READY] == 0 then return {} end
  -- Not below the time: those that a failover has made us forget were drawn before.
  fence = math.max(fence, time_fence)
  local due, claimed, taken, count, wanted, ids = now + lease_ms, { fence + 1 }, {}, 0
  repeat
    flush_ready()
    wanted = max - count
    local scores
    ids, scores = take_ready(wanted)
    fetch(ids)
    for index = 1, #ids do
      local id = ids[index]
      local input, more = lease(id, worker, due)
      if input then
        claimed[3 * count + 2], claimed[3 * count + 4] = id, more
        claimed[3 * count + 3] = input ~= '' and input or rest().part('i' .. id)
        count = count + 1
        taken[count] = scores[index]
      end
    end
  until count == max or #ids < wanted
  if count == 0 then return {} end
  at(due)
  counts[STARTS] = counts[STARTS] + count
  take_turns(taken, count)
  return claimed
end

-- Completes a task whose end concerns no other and that was never tried before, which most are, without a look into its record.
-- Answers whether it was one, and its lease was held.
local function complete_plain(id, its_fence, result)
  local raw = records[id] == nil and raws[id]
  if not raw then return false end
  local state, flat, at_start, at_end, attempt, seq, known_fence, due, started, _, keep, name_size = sunpack(HOT, raw)
  if state ~= RUNNING or flat ~= 1 or seq ~= 2 or at_end == 1 then return false end
  if known_fence ~= its_fence or now >= due then return false end
  local body_at = BODY_AT + name_size
  local body_size = sunpack('<I4', raw, body_at)
  -- Large inputs and results take the long way.
  if body_size == 0 or #result > MAX_BODY then return false end
  local forgotten_at = now + keep
  write(id, spack(HOT, COMPLETED, 1, at_start, 0, attempt, 3, known_fence, forgotten_at, started, now, keep, name_size)
    .. sub(raw, WORKER_AT, body_at - 1) .. spack('<I4c0', #result, result) .. sub(raw, body_at + 4 + body_size))
  counts[RUNNING], counts[COMPLETED] = counts[RUNNING] - 1, counts[COMPLETED] + 1
  counts[COMPLETIONS], counts[RAN] = counts[COMPLETIONS] + 1, counts[RAN] + now - started
  running[id], completed[id] = false, forgotten_at
  if forgotten_at < soonest then soonest = forgotten_at end
  if is_watched then wake(id) end
  return true
end

-- Completions in a row, as most settlements come: of each its ID, its fence and the result. Puts outcomes behind the first `done`
-- and answers how many.
local function complete_some(outcomes, done)
  local count, ids = number(), {}
  for index = 1, count do ids[index] = argv[cursor + 3 * index - 2] end
  fetch(ids)
  for index = 1, count do
    local id, its_fence, result = ids[index], tonumber(argv[cursor + 2]), argv[cursor + 3]
    cursor = cursor + 3
    outcomes[done + index] = complete_plain(id, its_fence, result) and 1 or rest().complete(id, its_fence, result)
  end
  return count
end

local function settle()
  local outcomes, done, count, all_written = {}, 0, number(), 1
  while done < count do
    local kind = word()
    if kind == 'c' then
      done = done + complete_some(outcomes, done)
    else
      done = done + 1
      outcomes[done] = rest().settle_one(kind)
    end
  end
  for index = 1, count do
    if outcomes[index] ~= 1 then all_written = outcomes end
  end
  local has_claim = number() == 1
  return { all_written, has_claim and claim() or {} }
end

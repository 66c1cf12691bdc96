-- Adding tasks, made when a run adds some. What is not plain goes to the rest.

-- What is said of many tasks, as JSON: name, delay, priority, tries, lease losses, how long it is kept, how long if it fails, how
-- far it moves the next turn, and whether more is said of each. Parts of the record of a new one that is ready and of which
-- no more is said.
local function kinds_of_task()
  local kinds = {}
  for index = 1, number() do
    local said = cjson.decode(word())
    local name, delay, priority, attempts, losses, keep, keep_failed, cost, has_more = unpack(said)
    local kind = { said = said, has_more = has_more == 1, is_plain = has_more == 0 and delay == 0 }
    if kind.is_plain then
      kind.flow, kind.rank, kind.cost = flow_of(priority), (1000 - priority) * RANK, cost
      kind.before = spack(HOT, IS_READY, 1, 0, 0, 0, 1, 0, 0, now, 0, keep, 0)
      kind.behind = spack(WARM, 0, 0, 1, attempts, losses, now, 0, keep_failed, priority) .. cmsgpack.pack({ name })
    end
    kinds[index] = kind
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
    write(id, kind.before .. spack('<ddI4', turn, order, #body) .. body .. kind.behind)
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

-- Of several callers: how many tasks each has, then all of them. Answers 0 when all were added, as most are.
local function enqueue()
  local limit, sizes = number(), {}
  for index = 1, number() do sizes[index] = number() end
  local tasks, answers, last, all_new = new_tasks(), {}, 0, true
  for index, size in ipairs(sizes) do
    local answer = enqueue_some(tasks, last + 1, last + size, limit)
    answers[index], last, all_new = answer, last + size, all_new and answer == 0
  end
  return all_new and 0 or answers
end

return enqueue

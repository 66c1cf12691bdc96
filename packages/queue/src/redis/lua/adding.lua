-- Adding tasks, made when a run adds some. What is not plain goes to the rest.

-- What is said of many tasks: name, delay, priority, tries, lease losses, how long it is kept, how long if it fails, how
-- far it moves the next turn, and whether more is said of each. Parts of the record of a new one that is ready and of which
-- no more is said.
local function kinds_of_task()
  local kinds = {}
  for index = 1, number() do
    local said = { word() }
    for field = 2, 8 do said[field] = number() end
    local name, delay, priority, attempts, losses, keep, keep_failed, cost = unpack(said)
    local has_more = word() == '1'
    local kind = { said = said, has_more = has_more, is_plain = not has_more and delay == 0 }
    if kind.is_plain then
      kind.flow, kind.rank, kind.cost = flow_of(priority), (1000 - priority) * RANK, cost
      kind.before = spack(HOT, IS_READY, 1, 0, 0, 0, 1, 0, 0, now, 0, keep, 0)
      kind.behind = spack(WARM, 0, 0, 1, attempts, losses, now, 0, keep_failed, priority) .. cmsgpack.pack({ name })
    end
    kinds[index] = kind
  end
  return kinds
end

-- What is to be added: IDs, inputs, kinds, and what else is said of some.
local ids, bodies, kind_of, said_of = {}, {}, {}, {}

-- Runs of tasks of one kind: of each its ID, its input and, if more is said of it, that as JSON.
local function new_tasks()
  local kinds, n = kinds_of_task(), #ids
  local first = n + 1
  for _ = 1, number() do
    local kind, count = kinds[number()], number()
    for _ = 1, count do
      n = n + 1
      ids[n], bodies[n], kind_of[n] = argv[cursor + 1], argv[cursor + 2], kind
      cursor = cursor + 2
      if kind.has_more then said_of[n] = cjson.decode(word()) end
    end
  end
  fetch(ids, first)
  return first
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

-- Adds a task that is new, of which no more is said, and that is ready.
local function add_plain(id, kind, body)
  local its_flow = kind.flow
  local turn, last = its_flow[NEXT], its_flow[LAST]
  if last > turn then turn = last end
  its_flow[NEXT] = math.min(turn + kind.cost, LAST_TURN)
  order = order + 1
  if records[id] ~= nil then records[id], dirty[id] = nil, nil end
  write(id, kind.before .. spack('<I4', #body) .. body .. spack('<dd', turn, order) .. kind.behind)
  if ready[id] ~= nil then ready[id] = nil end
  append(id, kind.rank + turn, kind.cost)
end

-- The tasks of one caller, from `first` to `last`: all are added, or none if that would be more than the limit. Answers 0 when all
-- were, as mostly, else of each: 0 when it was added, 1 when its ID is taken, 2 when it has no parent, the ID of the live task
-- that has its key.
local function enqueue_some(first, last, limit)
  local before = alive()
  if before + last - first + 1 > limit then
    -- Redrives may have gone beyond the limit: what adds nothing fits all the same.
    local fresh = rest().count_new(ids, said_of, first, last)
    if fresh > 0 and before + fresh > limit then return { -1, before } end
  end
  if before == 0 then forget_turns() end
  local outcomes, plain = 0, 0
  for index = first, last do
    local id, kind, outcome = ids[index], kind_of[index], 0
    if is_known(id) then
      outcome = 1
    else
      local body, is_whole = short(bodies[index])
      if kind.is_plain then
        add_plain(id, kind, body)
        plain, kind.flow[MOVED] = plain + 1, true
      else
        outcome = rest().add_special(id, kind, body, said_of[index])
      end
      if outcome == 0 and not is_whole then parts['i' .. id], has_parts = bodies[index], true end
    end
    if outcome ~= 0 and outcomes == 0 then
      outcomes = {}
      for done = 1, index - first do outcomes[done] = 0 end
    end
    if outcomes ~= 0 then outcomes[index - first + 1] = outcome end
  end
  if plain > 0 then
    counts[IS_READY], counts[ADDED] = counts[IS_READY] + plain, counts[ADDED] + plain
    has_ready, news.has_work = true, true
  end
  if made_rest then made_rest.end_parents_wait() end
  return outcomes
end

-- As enqueue_some of each of several callers, whose tasks begin with `first`. Answers 0 when all were added.
local function enqueue_each(sizes, callers, first, limit)
  local answers, all_new = {}, true
  for index = 1, callers do
    local size = sizes[index] or 1
    answers[index] = enqueue_some(first, first + size - 1, limit)
    first, all_new = first + size, all_new and answers[index] == 0
  end
  return all_new and 0 or answers
end

-- Of several callers: how many tasks each has, or a dash if each has one, then all of them.
local function enqueue()
  local limit, callers, sizes = number(), number(), {}
  if argv[cursor + 1] == '-' then
    cursor = cursor + 1
  else
    for index = 1, callers do sizes[index] = number() end
  end
  local first = new_tasks()
  -- Callers of a task each are mostly as one: where the limit is far, and nothing more is said.
  if sizes[1] or #ids - first >= limit - alive() or next(said_of) then return enqueue_each(sizes, callers, first, limit) end
  local outcomes = enqueue_some(first, #ids, limit)
  if outcomes == 0 then return 0 end
  for index, outcome in ipairs(outcomes) do outcomes[index] = { outcome } end
  return outcomes
end

return enqueue

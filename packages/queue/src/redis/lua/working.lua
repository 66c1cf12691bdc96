-- Claiming tasks and ending leases, made when a run does so. What is not plain goes to the rest.

-- Of running and completed tasks: the key, and by time the IDs that are to be put there and to be taken out.
local BY, PUTS, TAKES = 1, 2, 3
local running, completed = { RUNNING_BY, {}, {} }, { COMPLETED_BY, {}, {} }
-- Running and completed tasks that have come to be so in one run are in rows under the time that they share.

local function enter(calendar, id, at_ms)
  local ids = calendar[PUTS][at_ms]
  if ids then ids[#ids + 1] = id else calendar[PUTS][at_ms] = { id } end
end

local function exit(calendar, id, at_ms)
  local new = calendar[PUTS][at_ms]
  for index = 1, new and #new or 0 do
    if new[index] == id then return table.remove(new, index) end
  end
  local ids = calendar[TAKES][at_ms]
  if ids then ids[#ids + 1] = id else calendar[TAKES][at_ms] = { id } end
end

-- Takes IDs out of what is under a time. What is left of their rows is to be put there.
local function take_out(calendar, at_ms, ids)
  local key, gone, members = calendar[BY], {}, {}
  if #ids == 1 and call('ZREM', key, ids[1]) == 1 then return end
  for _, id in ipairs(ids) do gone[id] = true end
  for _, member in ipairs(call('ZRANGEBYSCORE', key, whole(at_ms), whole(at_ms))) do
    local kept, all = {}, ids_of(member)
    for _, id in ipairs(all) do
      if not gone[id] then kept[#kept + 1] = id end
    end
    if #kept < #all then
      members[#members + 1] = member
      if kept[1] then call('ZADD', key, whole(at_ms), row_of(kept, 1, #kept)) end
    end
  end
  if members[1] then send('ZREM', key, members, #members) end
end

local function flush_calendar(calendar)
  local words, n = {}, 0
  for at_ms, ids in pairs(calendar[TAKES]) do take_out(calendar, at_ms, ids) end
  for at_ms, ids in pairs(calendar[PUTS]) do
    local count = #ids
    local size = count > MAX_IN_ROWS and 1 or MAX_ROW
    for from = 1, count, size do
      words[n + 1], words[n + 2] = whole(at_ms), row_of(ids, from, math.min(from + size - 1, count))
      n = n + 2
    end
  end
  if n > 0 then send('ZADD', calendar[BY], words, n) end
end

-- What tasks have in common that one call claims or completes, as it is stored, and of which it is so.
local shared, shared_keep, shared_since
-- How many plain tasks one call has claimed or completed, and how long they waited or ran, which is added up once.
local started, waited, ended, ran = 0, 0, 0, 0

-- Leases a task. Answers its input, and what else its worker wants to know of it: 0 if it is new. Answers nothing when it may not
-- start.
local function lease(id, worker, due)
  local raw = records[id] == nil and raws[id]
  if not raw then return rest().lease_again(id, worker, due) end
  local _, flat, at_start, at_end, _, seq, _, _, since, _, keep = sunpack(HOT, raw)
  -- What most are: new.
  if flat == 0 or seq > 1 or at_start == 1 then return rest().lease_again(id, worker, due) end
  if keep ~= shared_keep then
    shared, shared_keep = spack(SHARED, due, now, 0, keep, #worker) .. worker, keep
  end
  fence = fence + 1
  write(id, spack(OWN, RUNNING, 1, 0, at_end, 1, 2, fence) .. shared .. sub(raw, WORKER_AT))
  enter(running, id, due)
  if is_watched then wake(id) end
  started, waited = started + 1, waited + now - since
  return (sunpack('<I4c0', raw, WORKER_AT)), 0
end

-- Takes IDs of a row, up to `wanted` and to those whose turn is behind a score, and puts back what is left: alone what ten such
-- claims would take, so that small claims need not take rows apart each time. Answers whether anything was left.
local function take_of_row(ids, scores, member, score, wanted, limit)
  local members, place, count = cmsgpack.unpack(member), 1, #ids
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
    local words, n = {}, 0
    for _ = 1, 10 * wanted do
      if members[place] ~= '' then
        words[n + 1], words[n + 2] = whole(score), members[place]
        n = n + 2
      end
      place, score = place + 1, score + STEP
    end
    if n > 0 then send('ZADD', READY, words, n) end
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
      elseif byte(member) < 128 then
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

-- Outcomes; the fence of the first, each next one has the next; a list as JSON of what else its worker wants to know of each,
-- or 0 if all are new; then of each its ID and its input. Answers 1, as mostly, for outcomes that are all well, and for those
-- alone when nothing is claimed.
local function claim(outcomes)
  outcomes = outcomes or 1
  local none = outcomes == 1 and 1 or { outcomes }
  local worker, max, lease_ms = word(), number(), number()
  if max <= 0 or is_paused == 1 or counts[IS_READY] == 0 then return none end
  -- Not below the time: those that a failover has made us forget were drawn before.
  fence = math.max(fence, time_fence)
  local due, claimed, taken, count, wanted, ids = now + lease_ms, { outcomes, fence + 1, 0 }, {}, 0
  local mores, are_new = {}, true
  shared_keep = nil
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
        claimed[2 * count + 4], claimed[2 * count + 5] = id, input ~= '' and input or rest().part('i' .. id)
        count = count + 1
        taken[count], mores[count], are_new = scores[index], more, are_new and more == 0
      end
    end
  until count == max or #ids < wanted
  counts[IS_READY], counts[RUNNING] = counts[IS_READY] - started, counts[RUNNING] + started
  counts[WAITED] = counts[WAITED] + waited
  started, waited = 0, 0
  if count == 0 then return none end
  if due < soonest then soonest = due end
  counts[STARTS] = counts[STARTS] + count
  take_turns(taken, count)
  if not are_new then claimed[3] = '[' .. table.concat(mores, ',') .. ']' end
  return claimed
end

-- Completes a task whose end concerns no other and that was never tried before, which most are, without a look into its record.
-- Answers whether it was one, and its lease was held.
local function complete_plain(id, its_fence, result)
  local raw = records[id] == nil and raws[id]
  if not raw then return false end
  local state, flat, at_start, at_end, attempt, seq, known_fence, due, since, _, keep, name_size = sunpack(HOT, raw)
  if state ~= RUNNING or flat ~= 1 or seq ~= 2 or at_end == 1 then return false end
  if known_fence ~= its_fence or now >= due then return false end
  local size_at = WORKER_AT + name_size
  local body_size = sunpack('<I4', raw, size_at)
  -- Large inputs and results take the long way.
  if body_size == 0 or #result > MAX_BODY then return false end
  local forgotten_at = now + keep
  if keep ~= shared_keep or since ~= shared_since then
    shared, shared_keep, shared_since = spack(SHARED, forgotten_at, since, now, keep, 0), keep, since
  end
  write(id, spack(OWN, COMPLETED, 1, at_start, 0, attempt, 3, known_fence) .. shared
    .. spack('<I4', #result) .. result .. sub(raw, size_at + 4 + body_size))
  ended, ran = ended + 1, ran + now - since
  exit(running, id, due)
  enter(completed, id, forgotten_at)
  if forgotten_at < soonest then soonest = forgotten_at end
  if is_watched then wake(id) end
  return true
end

-- Completions in a row, as most settlements come: of each its ID, its fence and the result. Puts outcomes behind the first `done`
-- and answers how many.
local function complete_some(outcomes, done)
  local count, ids = number(), {}
  shared_keep = nil
  for index = 1, count do ids[index] = argv[cursor + 3 * index - 2] end
  fetch(ids)
  for index = 1, count do
    local id, its_fence, result = ids[index], tonumber(argv[cursor + 2]), argv[cursor + 3]
    cursor = cursor + 3
    outcomes[done + index] = complete_plain(id, its_fence, result) and 1 or rest().complete(id, its_fence, result)
  end
  counts[RUNNING], counts[COMPLETED] = counts[RUNNING] - ended, counts[COMPLETED] + ended
  counts[COMPLETIONS], counts[RAN] = counts[COMPLETIONS] + ended, counts[RAN] + ran
  ended, ran = 0, 0
  return count
end

local function settle()
  local outcomes, done, count, are_well = {}, 0, number(), true
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
    if outcomes[index] ~= 1 then are_well = false end
  end
  if are_well then outcomes = 1 end
  if number() == 1 then return claim(outcomes) end
  return are_well and 1 or { outcomes }
end

return {
  claim = claim, settle = settle, running = running, completed = completed, enter = enter, exit = exit,
  flush_calendar = flush_calendar,
}

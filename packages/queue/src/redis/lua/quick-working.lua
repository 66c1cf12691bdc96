-- Ending leases of tasks that are completed the first time they were tried, and leasing others that are new.

repeat
  if not is_calm or (verb ~= 'settle' and verb ~= 'claim') then break end
  -- How many are completed, and where the words of the claim begin: worker, how many, how long.
  local ended, claim_at = 0, 6
  if verb == 'settle' then
    if argv[7] ~= 'c' or argv[8] ~= argv[6] then break end
    ended = tonumber(argv[6])
    claim_at = argv[9 + 3 * ended] == '1' and 10 + 3 * ended
  end
  if #argv ~= (claim_at and claim_at + 2 or 9 + 3 * ended) then break end
  local wanted = claim_at and is_paused == 0 and counts[IS_READY] > 0 and tonumber(argv[claim_at + 1]) or 0
  if ended > MAX_IN_ROWS or wanted > MAX_IN_ROWS or wanted < 0 then break end

  -- Those that are completed, and behind them those that are next. Members that are looked at, the score of the last task; if it
  -- does not need all of a row, that, and what comes next of it.
  local ids, count, all, members, reached = {}, ended, ended + wanted, 0, 0
  local row, place, score
  for index = 1, ended do ids[index] = argv[6 + 3 * index] end
  repeat
    local size = math.min(members + 1, all - count)
    local found = size > 0 and call('ZRANGE', READY, members, members + size - 1, 'WITHSCORES') or {}
    for index = 1, #found, 2 do
      row = byte(found[index]) == 2 and cmsgpack.unpack(sub(found[index], 2)) or { found[index] }
      place, score = 1, tonumber(found[index + 1])
      members = members + 1
      while row[place] and count < all do
        if row[place] ~= '' then
          count, reached = count + 1, score
          ids[count] = row[place]
        end
        place, score = place + 1, score + STEP
      end
      if count == all then break end
    end
  until count == all or #found < 2 * size
  if count == 0 then break end

  local raws, tasks, is_plain = call('HMGET', TASKS, unpack(ids)), {}, true
  local shared, shared_keep, shared_since, earliest, ran, waited = '', nil, nil, next_due, 0, 0
  -- By when leases would have ended, and by when what has ended is to be forgotten: IDs.
  local takes, puts, is_taken = {}, {}, {}
  for index = 1, ended do
    local id, raw, its_fence, result = ids[index], raws[index], tonumber(argv[7 + 3 * index]), argv[8 + 3 * index]
    if not raw or is_taken[id] then is_plain = false break end
    local state, flat, at_start, at_end, attempt, seq, known_fence, due, since, _, keep, name_size = sunpack(HOT, raw)
    local size_at = BODY_AT + name_size
    local body_size = sunpack('<I4', raw, size_at)
    is_plain = state == RUNNING and flat == 1 and seq == 2 and at_end == 0 and known_fence == its_fence and now < due
      and body_size > 0 and #result <= MAX_BODY
    if not is_plain then break end
    local forgotten_at = now + keep
    if keep ~= shared_keep or since ~= shared_since then
      shared, shared_keep, shared_since = spack('<dddd', forgotten_at, since, now, keep), keep, since
    end
    tasks[2 * index - 1] = id
    tasks[2 * index] = spack(OWN, COMPLETED, 1, at_start, 0, attempt, 3, known_fence) .. shared
      .. sub(raw, WORKER_AT - 1, size_at - 1) .. spack('<I4', #result) .. result .. sub(raw, size_at + 4 + body_size)
    is_taken[id], ran, earliest = true, ran + now - since, math.min(earliest, forgotten_at)
    if takes[due] then takes[due][#takes[due] + 1] = id else takes[due] = { id } end
    if puts[forgotten_at] then puts[forgotten_at][#puts[forgotten_at] + 1] = id else puts[forgotten_at] = { id } end
  end

  local started, worker, due = count - ended, claim_at and argv[claim_at], claim_at and now + tonumber(argv[claim_at + 2])
  -- Not below the time: those that a failover has made us forget were drawn before.
  local latest = wanted > 0 and math.max(fence, time_fence) or fence
  local claimed = { 1, latest + 1 }
  shared_keep = nil
  for index = ended + 1, is_plain and count or 0 do
    local id, raw, at = ids[index], raws[index], 3 * (index - ended)
    if not raw then is_plain = false break end
    local _, flat, at_start, at_end, _, seq, _, _, since, _, keep = sunpack(HOT, raw)
    local body = flat == 1 and seq == 1 and at_start == 0 and sunpack('<I4c0', raw, BODY_AT) or ''
    if body == '' then is_plain = false break end
    if keep ~= shared_keep then
      shared, shared_keep = spack(SHARED, due, now, 0, keep, #worker) .. worker, keep
    end
    tasks[2 * index - 1] = id
    tasks[2 * index] = spack(OWN, RUNNING, 1, 0, at_end, 1, 2, latest + index - ended) .. shared .. sub(raw, WORKER_AT)
    claimed[at], claimed[at + 1], claimed[at + 2] = id, body, 0
    waited = waited + now - since
  end
  if not is_plain then break end
  if started > 0 and due < earliest then earliest = due end
  -- Who was told of something later would have to be told; what is too many would have to go.
  if earliest < told or counts[COMPLETED] + ended + counts[CANCELLED] > tonumber(argv[2]) then break end

  -- From here on there is no way back. First what needs no room: a server that is full refuses all else as the first write.
  if started > 0 then call('ZREMRANGEBYRANK', READY, 0, members - 1) end
  for at_ms, gone in pairs(takes) do
    -- Alone, or a whole row as it was put there; else members have to be looked for.
    if call('ZREM', RUNNING_BY, gone[2] and '\2' .. cmsgpack.pack(gone) or gone[1]) == 0 then
      for _, member in ipairs(call('ZRANGEBYSCORE', RUNNING_BY, format('%d', at_ms), format('%d', at_ms))) do
        local others, its_ids = {}, byte(member) == 2 and cmsgpack.unpack(sub(member, 2)) or { member }
        for _, id in ipairs(its_ids) do
          if not is_taken[id] then others[#others + 1] = id end
        end
        if #others < #its_ids then
          call('ZREM', RUNNING_BY, member)
          if others[1] then call('ZADD', RUNNING_BY, format('%d', at_ms), others[2] and '\2' .. cmsgpack.pack(others) or others[1]) end
        end
      end
    end
  end
  call('HSET', TASKS, unpack(tasks))
  if row and row[place] then
    local words, n, alone_to = {}, 0, place + 10 * wanted <= #row and place + 10 * wanted - 1 or 0
    while row[place] and (row[place] == '' or place <= alone_to) do
      if row[place] ~= '' then
        words[n + 1], words[n + 2] = format('%d', score), row[place]
        n = n + 2
      end
      place, score = place + 1, score + STEP
    end
    if row[place] then
      words[n + 1] = format('%d', score)
      words[n + 2] = place == #row and row[place] or '\2' .. cmsgpack.pack({ unpack(row, place) })
    end
    if words[1] then call('ZADD', READY, unpack(words)) end
  end
  for key, lists in pairs({ [RUNNING_BY] = { [due or 0] = { unpack(ids, ended + 1) } }, [COMPLETED_BY] = puts }) do
    for at_ms, list in pairs(lists) do
      for at = 1, #list, MAX_ROW do
        local to = math.min(at + MAX_ROW - 1, #list)
        local member = at == to and list[at] or '\2' .. cmsgpack.pack(to - at + 1 == #list and list or { unpack(list, at, to) })
        call('ZADD', key, format('%d', at_ms), member)
      end
    end
  end

  counts[IS_READY], counts[RUNNING] = counts[IS_READY] - started, counts[RUNNING] + started - ended
  counts[COMPLETED], counts[STARTS], counts[COMPLETIONS] = counts[COMPLETED] + ended, counts[STARTS] + started, counts[COMPLETIONS] + ended
  counts[WAITED], counts[RAN] = counts[WAITED] + waited, counts[RAN] + ran
  local last, next = math.max(flow[LAST], reached - 1000 * RANK), flow[NEXT]
  if counts[SCHEDULED] + counts[WAITING] + counts[IS_READY] + counts[RUNNING] == 0 then last, next = 0, 0 end
  call('SET', META, spack(COUNTERS, order, latest + started, ends, told, earliest, last, next, 0, is_paused, 0, unpack(counts)))
  do return { started > 0 and claimed or 1, HAPPENED } end
until true

-- Ending leases of tasks that are completed the first time they were tried, and leasing others that are new.

repeat
  if not is_calm or is_watched == 1 or (verb ~= 'settle' and verb ~= 'claim') then break end
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
      row = byte(found[index]) > 127 and cmsgpack.unpack(found[index]) or { found[index] }
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
    local size_at = WORKER_AT + name_size
    local body_size = sunpack('<I4', raw, size_at)
    is_plain = state == RUNNING and flat == 1 and seq == 2 and at_end == 0 and known_fence == its_fence and now < due
      and body_size > 0 and #result <= MAX_BODY
    if not is_plain then break end
    local forgotten_at = now + keep
    if keep ~= shared_keep or since ~= shared_since then
      shared, shared_keep, shared_since = spack(SHARED, forgotten_at, since, now, keep, 0), keep, since
    end
    tasks[2 * index - 1] = id
    tasks[2 * index] = spack(OWN, COMPLETED, 1, at_start, 0, attempt, 3, known_fence) .. shared
      .. spack('<I4', #result) .. result .. sub(raw, size_at + 4 + body_size)
    is_taken[id], ran, earliest = true, ran + now - since, math.min(earliest, forgotten_at)
    if takes[due] then takes[due][#takes[due] + 1] = id else takes[due] = { id } end
    if puts[forgotten_at] then puts[forgotten_at][#puts[forgotten_at] + 1] = id else puts[forgotten_at] = { id } end
  end

  local started, worker, due = count - ended, claim_at and argv[claim_at], claim_at and now + tonumber(argv[claim_at + 2])
  -- Not below the time: those that a failover has made us forget were drawn before.
  local latest = wanted > 0 and math.max(fence, time_fence) or fence
  local claimed = { 1, latest + 1, 0 }
  shared_keep = nil
  for index = ended + 1, is_plain and count or 0 do
    local id, raw, at = ids[index], raws[index], 2 * (index - ended) + 2
    if not raw then is_plain = false break end
    local _, flat, at_start, at_end, _, seq, _, _, since, _, keep = sunpack(HOT, raw)
    local body = flat == 1 and seq == 1 and at_start == 0 and sunpack('<I4c0', raw, WORKER_AT) or ''
    if body == '' then is_plain = false break end
    if keep ~= shared_keep then
      shared, shared_keep = spack(SHARED, due, now, 0, keep, #worker) .. worker, keep
    end
    tasks[2 * index - 1] = id
    tasks[2 * index] = spack(OWN, RUNNING, 1, 0, at_end, 1, 2, latest + index - ended) .. shared .. sub(raw, WORKER_AT)
    claimed[at], claimed[at + 1] = id, body
    waited = waited + now - since
  end
  if not is_plain then break end
  if started > 0 and due < earliest then earliest = due end
  -- Who was told of something later would have to be told; what is too many would have to go.
  if earliest < told or counts[COMPLETED] + ended + counts[CANCELLED] > tonumber(argv[2]) then break end

  -- From here on there is no way back. First what needs no room: a server that is full refuses all else as the first write.
  if started > 0 then
    call('ZREMRANGEBYRANK', READY, 0, members - 1)
    for _, one in ipairs(rows_of({ unpack(ids, ended + 1) })) do call('ZADD', RUNNING_BY, format('%d', due), one) end
  end
  for at_ms, gone in pairs(takes) do
    local at, rows = format('%d', at_ms), rows_of(gone)
    -- Mostly whole rows, as they were put there; else members have to be looked for.
    if call('ZREM', RUNNING_BY, unpack(rows)) < #rows then
      for _, member in ipairs(call('ZRANGEBYSCORE', RUNNING_BY, at, at)) do
        local others, its_ids = {}, byte(member) > 127 and cmsgpack.unpack(member) or { member }
        for _, id in ipairs(its_ids) do
          if not is_taken[id] then others[#others + 1] = id end
        end
        if #others < #its_ids then
          call('ZREM', RUNNING_BY, member)
          if others[1] then call('ZADD', RUNNING_BY, at, rows_of(others)[1]) end
        end
      end
    end
  end
  for at_ms, list in pairs(puts) do
    for _, one in ipairs(rows_of(list)) do call('ZADD', COMPLETED_BY, format('%d', at_ms), one) end
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
      words[n + 2] = rows_of({ unpack(row, place) })[1]
    end
    if words[1] then call('ZADD', READY, unpack(words)) end
  end

  counts[IS_READY], counts[RUNNING] = counts[IS_READY] - started, counts[RUNNING] + started - ended
  counts[COMPLETED], counts[COMPLETIONS] = counts[COMPLETED] + ended, counts[COMPLETIONS] + ended
  counts[STARTS] = counts[STARTS] + started
  counts[WAITED], counts[RAN] = counts[WAITED] + waited, counts[RAN] + ran
  local last, next = math.max(flow[LAST], reached - 1000 * RANK), flow[NEXT]
  if counts[SCHEDULED] + counts[WAITING] + counts[IS_READY] + counts[RUNNING] == 0 then last, next = 0, 0 end
  call('SET', META, spack(COUNTERS, order, latest + started, ends, told, earliest, last, next, 0, is_paused, 0, unpack(counts)))
  do return { started > 0 and claimed or 1, HAPPENED } end
until true

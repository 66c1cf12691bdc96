-- Adding tasks of one kind that are ready at once and of which no more is said: those of one caller, or of many with one each.

repeat
  if not is_calm or verb ~= 'enqueue' then break end
  -- Limit, callers, a dash or how many tasks each has, one kind, what is said of it, one run of it, its size, tasks.
  local limit, callers, sizes, kinds, name, delay, priority, attempts, losses, keep, keep_failed, cost, more, runs, _, size =
    unpack(argv, 6, 21)
  if kinds ~= '1' or runs ~= '1' or (sizes ~= '-' and callers ~= '1') then break end
  if delay ~= '0' or priority ~= '0' or cost ~= '60' or more ~= '0' then break end
  local count, live = tonumber(size), counts[SCHEDULED] + counts[WAITING] + counts[IS_READY] + counts[RUNNING]
  if count > MAX_QUICK or #argv ~= 21 + 2 * count or live + count > tonumber(limit) then break end
  local turn = math.max(flow[LAST], flow[NEXT])
  if turn + STEP * count > LAST_TURN then break end

  local before = spack(HOT, IS_READY, 1, 0, 0, 0, 1, 0, 0, now, 0, keep, 0)
  local behind = spack(WARM, 0, 0, 1, attempts, losses, now, 0, keep_failed, 0) .. cmsgpack.pack({ name })
  local first, ids, is_taken, tasks, is_plain = 1000 * RANK + turn, {}, {}, {}, true
  for index = 1, count do
    local id, body = argv[20 + 2 * index], argv[21 + 2 * index]
    if is_taken[id] or #body > MAX_BODY then is_plain = false end
    ids[index], is_taken[id] = id, true
    tasks[2 * index - 1] = id
    tasks[2 * index] = before .. spack('<I4', #body) .. body .. spack('<dd', turn, order + index) .. behind
    turn = turn + STEP
  end
  for _, is_there in ipairs(call('HMGET', TASKS, unpack(ids))) do
    if is_there then is_plain = false end
  end
  if not is_plain then break end

  call('HSET', TASKS, unpack(tasks))
  for index, row in ipairs(rows_of(ids)) do
    call('ZADD', READY, format('%d', first + STEP * MAX_ROW * (index - 1)), row)
  end
  if is_watched == 1 and is_paused == 0 and call('HDEL', WATCH, 'w') == 1 then
    call('PUBLISH', argv[1], '[true,false,false,false]')
    is_watched = call('HLEN', WATCH) > 0 and 1 or 0
  end
  order = order + count
  counts[IS_READY], counts[ADDED] = counts[IS_READY] + count, counts[ADDED] + count
  call('SET', META,
    spack(COUNTERS, order, fence, ends, told, next_due, flow[LAST], turn, is_watched, is_paused, 0, unpack(counts)))
  do return { 0, HAPPENED } end
until true

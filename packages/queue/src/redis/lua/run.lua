-- The run: what is due, the calls, then all that is to be written.

local has_swept = now >= next_due
if has_swept then rest().sweep() end

local answers = {}
while argv[cursor + 1] do
  local name = word()
  local is_work = name == 'settle' or name == 'claim'
  answers[#answers + 1] = name == 'enqueue' and enqueue() or (is_work and working() or rest())[name]()
end

local too_many, too_many_dead =
  counts[COMPLETED] + counts[CANCELLED] - tonumber(argv[2]), counts[DEAD] - tonumber(argv[3])
-- With some room for the next, so that not each that ends has to go the long way then.
if too_many > 0 then rest().crowd_out(too_many + math.min(MAX_SWEEP, floor(tonumber(argv[2]) / 100))) end
if too_many_dead > 0 then rest().crowd_out_dead(too_many_dead) end

if written > 0 then send('HSET', TASKS, writes, written) end
if made_rest then made_rest.flush_records() end
flush_ready()
flush_parts()
if made_rest then
  made_rest.flush_states()
elseif made_working then
  made_working.flush_calendar(made_working.running)
  made_working.flush_calendar(made_working.completed)
end
if alive() == 0 then forget_turns() else flush_flows() end

if has_swept then rest().find_next_due() else next_due = math.min(next_due, soonest) end

if news.waits then
  told = next_due
  local ms = told == NEVER and -1 or math.max(0, told - now)
  for _, answer in ipairs(news.waits) do answer[2] = ms end
elseif soonest < told then
  told, news.is_soon = soonest, true
end
local wakes_workers = news.has_work and is_watched and is_paused == 0 and call('HDEL', WATCH, 'w') == 1
if wakes_workers or news.is_soon or news.ids or news.workers then
  call('PUBLISH', argv[1], cjson.encode({ wakes_workers or false, news.is_soon or false, news.ids or false, news.workers or false }))
  is_watched = is_watched and call('HLEN', WATCH) > 0
end

local counted = spack(COUNTERS, order, fence, ends, told, next_due, flow[LAST], flow[NEXT], is_watched and 1 or 0, is_paused,
  has_flows, unpack(counts, 1, RAN))
if counted ~= counters then call('SET', META, counted) end
answers[#answers + 1] = HAPPENED
return answers

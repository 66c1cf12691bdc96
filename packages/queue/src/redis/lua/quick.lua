-- What most runs are, without a function and without a table that it does not need: to make those of all others costs twice as
-- much as the rest of a run. What is not so goes the long way, before anything has been written, and comes to the same.

-- Nothing is due, nobody waits for news, there are no turns but one, and nothing has to make room.
local is_calm = counters and now < next_due and is_watched == 0 and has_flows == 0
  and counts[COMPLETED] + counts[CANCELLED] <= tonumber(argv[2]) and counts[DEAD] <= tonumber(argv[3])
local verb = argv[5]

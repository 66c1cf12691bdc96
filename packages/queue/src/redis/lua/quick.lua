-- What most runs are, without a function and without a table that it does not need: to make those of all others costs twice as
-- much as the rest of a run. What is not so goes the long way, before anything has been written, and comes to the same.

-- Nothing is due, all have priority 0 and no tenant, so that rows do not overlap, and nothing has to make room.
local is_calm = counters and now < next_due and has_flows == 0
  and counts[COMPLETED] + counts[CANCELLED] <= tonumber(argv[2]) and counts[DEAD] <= tonumber(argv[3])
local verb = argv[5]

-- As row_of, for all of a list.
local function rows_of(list)
  local count, rows = #list, {}
  for from = 1, count, MAX_ROW do
    local to = math.min(from + MAX_ROW - 1, count)
    rows[#rows + 1] = from == to and list[from] or cmsgpack.pack(count <= MAX_ROW and list or { unpack(list, from, to) })
  end
  return rows
end

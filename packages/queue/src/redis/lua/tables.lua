-- What a run keeps of what it reads and is to write.

-- A server that is full refuses the first write of a script if it needs room. Those that are there must be worked off all
-- the same, so this write comes first, which needs none and does nothing. New tasks are to be refused.
if argv[5] ~= 'enqueue' and argv[5] ~= 'fire' then call('HDEL', WATCH, '') end

is_watched = is_watched == 1
-- Of each priority: the turn that was claimed last, the next one of tasks without a tenant, and whether they have changed.
local LAST, NEXT, MOVED = 1, 2, 3
local flows = { [0] = flow }

-- Tasks: as they are stored, as tables once something has looked into them (or `false`), and which have changed.
local raws, records, dirty = {}, {}, {}
-- Those that were changed without a look into them: ID, record, and so on.
local writes, written = {}, 0
-- What is to be written: member to score, or field to value; `false` takes out.
local ready, parts = {}, {}
local has_ready, has_parts = false, false
-- New rows of ready tasks: the score of the first, and IDs. The last one of them, its size, and the score of what would be next,
-- or -1: scores begin at 0.
local rows, row, row_size, row_next = {}, false, 0, -1
-- The earliest thing that was put on the calendar.
local soonest = NEVER
-- Whether there is more to claim, whether something is due sooner than was said, of whom there is news; and answers to those
-- who begin to wait: they are told when something happens next, once all calls have been worked off.
local news = {}

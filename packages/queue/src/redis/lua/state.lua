-- Works off the calls of one tick on one queue, in order, at one instant of the server's clock. The rules are those of
-- memory/queue-state.ts. The parts in this folder are put together by script-text.ts.
--
-- KEYS: see below. ARGV: channel, maxEnded, maxDeadLetters, maxEvents, then the calls: a verb and its words.
-- Answers one answer for each call, and how much has happened.
--
-- What calls change is kept in tables and written at the end: a hundred tasks cost a few commands, not hundreds.
-- A task is a record in the hash `tasks`: HOT (numbers), its worker while it runs, BODY (its input while it lives, its
-- result once it has completed), TURN and ORDER, WARM (numbers), and REST (what few tasks have). `parts` has what is large or
-- comes in any number, so that a change of state does not move it: large inputs and results, events, checkpoints.

-- Names in capitals stand for what they are set to here, and are put in place as text. Lua 5.1 would pay for each of them
-- anew for each function that uses it, in each run.
local META, TASKS, PARTS = KEYS[1], KEYS[2], KEYS[3]
-- Sorted sets. Ready tasks that may run, by RANK and turn, alone or in rows: see core.lua. One for each other state: scheduled
-- by when they are due, waiting by when they wait no longer, running by when their leases end, ended ones by when they are
-- forgotten. Running and completed ones are alone or in rows too: see core.lua.
local READY, SCHEDULED_BY, WAITING_BY, RUNNING_BY = KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local COMPLETED_BY, CANCELLED_BY, BURIED_BY = KEYS[8], KEYS[9], KEYS[10]
-- Failed ones in the order of failures. Tasks that expire and groups that wait for a token, by when they do.
local FAILED, ALARMS = KEYS[11], KEYS[12]
-- By name: live tasks of groups, children of tasks. Turns that tenants have had.
local GROUPS, CHILDREN, FLOWS = KEYS[13], KEYS[14], KEYS[15]
-- Hashes: what was said of groups; dedup key to ID; schedules; worker to what was taken from it; who is to be woken by what.
local LIMITS, DEDUP, SCHEDULES, REVOKED, WATCH = KEYS[16], KEYS[17], KEYS[18], KEYS[19], KEYS[20]

local SCHEDULED, WAITING, IS_READY, RUNNING, COMPLETED, DEAD, CANCELLED = 1, 2, 3, 4, 5, 6, 7
-- Behind the tasks in each state, in one table of counts: sums of what has happened.
local ADDED, STARTS, COMPLETIONS, FAILS, CANCELS, RETRIES, WAITED, RAN = 8, 9, 10, 11, 12, 13, 14, 15

-- Fields of a record: first those that claims and completions change. FLAT: its events are enqueued, started and completed
-- as far as they go, so that they need not be stored. AT_START, AT_END: whether that concerns more than the task itself.
-- STARTED: before the first start, since when it could have been started.
local STATE, FLAT, AT_START, AT_END, ATTEMPT, SEQ, FENCE, DUE = 1, 2, 3, 4, 5, 6, 7, 8
local STARTED, FINISHED, KEEP = 9, 10, 11
local WORKER, BODY, TURN, ORDER, FAILURES, LOSSES, FIRST, MAX_ATTEMPTS, MAX_LOSSES = 12, 13, 14, 15, 16, 17, 18, 19, 20
local ENQUEUED, BACKOFF, KEEP_FAILED, PRIORITY, REST = 21, 22, 23, 24, 25
local HOT, WARM, RECORD = '<BBBBI4I4dddddB', '<I4I4I4I4I4dddh', '<BBBBI4I4dddddBc0I4c0ddI4I4I4I4I4dddh'
-- HOT in two: what differs from task to task, and what those have in common that are claimed or completed together. Lua keeps
-- each string once, and so looks at all bytes of each new one: what is not made anew costs nothing.
local OWN, SHARED = '<BBBBI4I4d', '<ddddB'
-- Where the worker's name begins; and while there is none, the body.
local WORKER_AT = 54
-- A larger body is not in the record; the one in the record is empty then.
local MAX_BODY = 1024
-- Fields of the rest, where there are any but the name. SAID: what it said of its group. BORN: the first ORDER of one that was
-- redriven. PARENT_BORN: that of its parent, which no other task of the same ID has. COUNTED: its parent counts it among its OPEN
-- children.
local NAME, GROUP, SAID, KEY, TENANT, COST, BORN, PARENT, PARENT_BORN, COUNTED, OPEN = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
local EXPIRES, EVENTS, FOR_CHILDREN, RECORDED, PROGRESS, FAILURE, REASON = 12, 13, 14, 15, 16, 17, 18

-- Words of a command at once: Lua's stack holds 8,000.
local CHUNK = 2000
-- Tasks that are added the quick way in one run, at most.
local MAX_QUICK = 1000
-- Things that happen by themselves in one run, of each kind.
local MAX_SWEEP = 1000
local MAX_WORKERS, MAX_REVOKED, MAX_SCHEDULES, MAX_TENANTS = 1000, 1000, 1000, 10000
-- Beyond all times; 2^52, since clients read larger numbers wrongly.
local NEVER = 4503599627370496
-- The order of claims: priorities from -1000 to 1000, the highest first, and turns below 2^42. After 7 * 10^10 tasks of one
-- priority without the queue being empty once, all have the last turn, and go in the order of their IDs.
local RANK, LAST_TURN = 4398046511104, 4398046511103
-- How far a task of weight 1 moves the next turn. How many IDs a row has at most, and how many of one time are put into rows.
local STEP, MAX_ROW, MAX_IN_ROWS = 60, 32, 128
-- Counters: order, fence, ends, when those who wait will look again, when something happens by itself next (or before that), the
-- turns of what has priority 0 and no tenant (claimed last, next), whether anybody is to be woken, whether it is paused,
-- whether there are other turns; then counts.
local COUNTERS, COUNTS_AT = '<dddddddBBBddddddddddddddd', 60
-- How much has happened: a server of which that is less than it was has lost some of it.
local HAPPENED = counts[ADDED] + counts[STARTS] + counts[COMPLETIONS] + counts[FAILS] + counts[CANCELS] + counts[RETRIES]
local call = redis.call
local spack, sunpack, format, floor, sub, byte =
  struct.pack, struct.unpack, string.format, math.floor, string.sub, string.byte
local argv, cursor = ARGV, 4
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + floor(tonumber(time[2]) / 1000)
local time_fence = tonumber(time[1]) * 1000000 + tonumber(time[2])

local counters = call('GET', META)
local order, fence, ends, told, next_due, is_watched, is_paused, has_flows = 0, 0, 0, 0, NEVER, 0, 0, 0
local flow = { 0, 0, false }
local counts
if counters then
  order, fence, ends, told, next_due, flow[1], flow[2], is_watched, is_paused, has_flows = sunpack('<dddddddBBB', counters)
  counts = { sunpack('<ddddddddddddddd', counters, COUNTS_AT) }
else
  counts = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
end

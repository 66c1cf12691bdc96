-- Works off the calls of one tick on one queue, in order, at one instant of the server's clock. The rules are those of
-- memory/queue-state.ts. The parts in this folder are put together by script-text.ts.
--
-- KEYS: see below. ARGV: channel, maxEnded, maxDeadLetters, maxEvents, then the calls: a verb and its words.
-- Answers one answer for each call.
--
-- What calls change is kept in tables and written at the end: a hundred tasks cost a few commands, not hundreds.
-- A task is a record in the hash `tasks`: HOT and WARM (numbers), BODY (its input while it lives, its result once it has
-- completed), its worker, and REST (texts). Large inputs and results, and events, are in hashes of their own, so that a
-- change of state does not move them.

-- Names in capitals stand for what they are set to here, and are put in place as text. Lua 5.1 would pay for each of them
-- anew for each function that uses it, in each run.
local META, TASKS, INPUTS, RESULTS, EVENTS = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
-- Sorted sets. ready: by RANK. live: scheduled by when they are due, running by when their leases end. kept and buried:
-- ended ones and failed ones by when they are forgotten. failed: in the order of failures. groups: live tasks by name.
local READY, LIVE, KEPT, BURIED, FAILED, GROUPS = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
-- Hashes: dedup key to ID; worker to what was taken from it; who is to be woken by what.
local DEDUP, REVOKED, WATCH = KEYS[12], KEYS[13], KEYS[14]

local SCHEDULED, IS_READY, RUNNING, COMPLETED, DEAD, CANCELLED = 1, 2, 3, 4, 5, 6

-- Fields of a record: first those that claims and completions change. FLAT: its events are enqueued, started and completed
-- as far as they go, so that they need not be stored.
local STATE, FLAT, KEYED, GROUPED, ATTEMPT, SEQ, FENCE, DUE, STARTED, FINISHED, KEEP = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
local FAILURES, LOSSES, FIRST, MAX_ATTEMPTS, MAX_LOSSES = 12, 13, 14, 15, 16
local ENQUEUED, BACKOFF, ORDER, KEEP_FAILED, PRIORITY, BODY, WORKER, REST = 17, 18, 19, 20, 21, 22, 23, 24
local HOT = '<BBBBI4I4ddddd'
local RECORD = '<BBBBI4I4dddddI4I4I4I4I4ddddhI4c0Bc0'
-- Where what is behind HOT begins, and the body.
local WARM_AT, BODY_AT = 53, 107
-- A larger body is not in the record; the one in the record is empty then.
local MAX_BODY = 1024
-- Fields of the rest; empty if there is none.
local NAME, GROUP, KEY, PROGRESS, FAILURE, REASON = 1, 2, 3, 4, 5, 6

-- Words of a command at once: Lua's stack holds 8,000.
local CHUNK = 2000
-- Things that happen by themselves in one run, of each kind.
local MAX_SWEEP = 1000
local MAX_WORKERS, MAX_REVOKED = 1000, 1000
local NEVER = 9007199254740991
-- The order of claims: priorities from -1000 to 1000, the highest first, and 2^42 tasks.
local RANK = 4398046511104
-- Counters: order, fence, ends, when those who wait will look again, when something happens by itself next (or before that),
-- whether anybody is to be woken, tasks in states 1 to 6.
local COUNTERS = '<dddddBdddddd'

local call = redis.call
local spack, sunpack, format, floor, sub = struct.pack, struct.unpack, string.format, math.floor, string.sub
local argv, cursor = ARGV, 4
local max_events = tonumber(argv[4])

local time = call('TIME')
local now = tonumber(time[1]) * 1000 + floor(tonumber(time[2]) / 1000)

-- A server that is full refuses the first write of a script if it needs room. Those that are there must be worked off all
-- the same, so this write comes first, which needs none and does nothing. New tasks are to be refused.
if argv[5] ~= 'enqueue' then call('HDEL', WATCH, '') end

local counters = call('GET', META)
local order, fence, ends, told, next_due, is_watched = 0, 0, 0, 0, NEVER, 0
local counts = { 0, 0, 0, 0, 0, 0 }
if counters then
  order, fence, ends, told, next_due, is_watched, counts[1], counts[2], counts[3], counts[4], counts[5], counts[6] =
    sunpack(COUNTERS, counters)
else
  -- Fences rise even after the counter was lost with the server's data.
  fence = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
is_watched = is_watched == 1

-- Tasks: as they are stored, as tables once something has looked into them (or `false`), and which have changed.
local raws, records, dirty = {}, {}, {}
-- Those that were changed without a look into them: ID, record, and so on.
local writes, written = {}, 0
-- What is to be written: member to score, or field to value; `false` takes out.
local ready, live, kept, inputs, results, events = {}, {}, {}, {}, {}, {}
local has_ready, has_inputs = false, false
-- The earliest thing that was put on the calendar.
local soonest = NEVER
-- Whether there is more to claim, whether something is due sooner than was said, of whom there is news; and answers to those
-- who begin to wait: they are told when something happens next, once all calls have been worked off.
local news = { has_work = false, is_soon = false, ids = {}, workers = {}, waits = {} }

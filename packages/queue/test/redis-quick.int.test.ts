// What the script does the quick way comes to the same as what it does the long way: every answer, and every byte that is kept.
import type { ClaimRequest, LeaseRef, NewTask, QueueStore, Settlement } from "@holdfast/queue";
import { redisTaskStore } from "@holdfast/queue/redis";
import fc from "fast-check";
import { describe, expect, inject, it } from "vitest";
import { longWay } from "./support/redis-long-way.ts";
import type { RedisPlace } from "./support/redis-places.ts";
import { redisPlaces } from "./support/redis-places.ts";

const redisUrl = inject("redisUrl");
const QUEUE = "quick";
const MAX_ENDED = 60;
const LIMIT = 150;

interface Side {
  readonly place: RedisPlace;
  readonly store: QueueStore;
  readonly waiting: Promise<unknown>[];
}

/** What is done to both sides alike; answers with what is to be the same. */
type Act = (side: Side, shared: History) => Promise<unknown>;

describe.skipIf(redisUrl === "")("the quick way", () => {
  const places = redisPlaces(redisUrl);

  function open(change: (lua: string) => string): Side {
    const place = places.open(change);
    const { client, clock, prefix } = place;
    return { place, store: redisTaskStore({ client, clock, prefix, maxEnded: MAX_ENDED }), waiting: [] };
  }

  function agrees(change: (lua: string) => string = (lua) => lua) {
    return fc.asyncProperty(fc.array(anAct, { minLength: 10, maxLength: 40, size: "max" }), async (acts) => {
      const sides = [open(change), open(longWay)] as const;
      const history = new History();
      const end = new AbortController();
      history.end = end.signal;
      try {
        for (const act of acts) {
          history.begin();
          const quick = await act(sides[0], history);
          const long = await act(sides[1], history);
          expect(quick).toEqual(long);
          history.heed(long);
          expect(await kept(sides[0].place.prefix)).toEqual(await kept(sides[1].place.prefix));
        }
      } finally {
        end.abort();
        for (const { store, place, waiting } of sides) {
          await store.close();
          await Promise.all(waiting);
          place.close();
        }
      }
    });
  }

  /** All keys of a queue, by name. */
  async function kept(prefix: string): Promise<ReadonlyMap<string, unknown>> {
    const names = (await places.redis.keys(`${prefix}*`)).toSorted();
    const values = names.map(async (name) => [name.split(":").at(-1)!, await valueOf(name)] as const);
    return new Map(await Promise.all(values));
  }

  async function valueOf(name: string): Promise<unknown> {
    const { redis } = places;
    switch (await redis.type(name)) {
      case "string":
        return redis.getBuffer(name).then((value) => value!.toString("latin1"));
      case "zset":
        return texts(await redis.callBuffer("ZRANGE", name, "0", "-1", "WITHSCORES"));
      default:
        return pairs(texts(await redis.callBuffer("HGETALL", name))).toSorted();
    }
  }

  it("comes to the same as the long way", { timeout: 300_000 }, async () => {
    await fc.assert(agrees(), { numRuns: 60 });
  });

  const mutants: Readonly<Record<string, readonly [guard: string, broken: string]>> = {
    "does not look whether something is due": ["counters and now < next_due", "counters"],
    "does not look whether somebody waits": ["or is_watched == 1 or", "or"],
    "does not wake who waits for work": ["if is_watched == 1 and is_paused == 0 and", "if false and"],
    "wakes workers of a paused queue": [
      "if is_watched == 1 and is_paused == 0 and",
      "if is_watched == 1 and",
    ],
    "does not look whether there are other turns": ["and has_flows == 0", ""],
    "adds what is there": ["if is_there then is_plain = false end", ""],
    "adds what it is given twice": ["if is_taken[id] or #body > 1024", "if #body > 1024"],
    "keeps what is large in records": ["or #body > 1024 then is_plain", "then is_plain"],
    "goes beyond the limit": ["or live + count > tonumber(limit)", ""],
    "adds with a delay": ["delay ~= '0' or", ""],
    "adds without priority": ["priority ~= '0' or", ""],
    "takes any fence": ["and known_fence == its_fence", ""],
    "completes twice what it is given twice": ["not raw or is_taken[id]", "not raw"],
    "does not look whether an end concerns others": ["and at_end == 0", ""],
    "does not look whether a start concerns others": ["and at_start == 0 and sunpack", "and sunpack"],
    "takes a task that was tried for a new one": ["flat == 1 and seq == 1", "seq > 0"],
    "claims from a paused queue": ["and is_paused == 0", ""],
    "keeps more that have ended than it may": ["+ ended + counts[7] > tonumber(argv[2])", "< 0"],
    "leaves rows as they are": ["#others < #its_ids", "false"],
    "forgets the rest of a row": ["if row and row[place] then", "if false then"],
  };
  it.each(Object.entries(mutants))("that %s, is found", { timeout: 300_000 }, async (_, [guard, broken]) => {
    const breakIt = (lua: string): string => {
      if (lua.includes("ZPOPMIN")) expect(lua).toContain(guard);
      return lua.replace(guard, broken);
    };
    const found = await fc.check(agrees(breakIt), { numRuns: 300, seed: 1, endOnFailure: true });
    expect(found.failed).toBe(true);
  });
});

/** What both sides share: names, and the leases there ever were. */
class History {
  readonly #leases: LeaseRef[] = [];
  #added = 0;
  #addedBefore = 0;
  end: AbortSignal = AbortSignal.abort();

  begin(): void {
    this.#addedBefore = this.#added;
  }

  /** Both sides are given the same. */
  restart(): void {
    this.#added = this.#addedBefore;
  }

  /** A new ID, now and then one that there was. */
  id(isOld: boolean): string {
    if (isOld && this.#added > 3) return `task-${this.#added - 2}`;
    this.#added += 1;
    return `task-${this.#added}`;
  }

  /** Some leases of the latest, in an order. */
  latest(count: number, step: number): readonly LeaseRef[] {
    return this.#leases.slice(-count).filter((_, index) => index % step === 0);
  }

  heed(answer: unknown): void {
    const { claimed = [] } = (answer ?? {}) as { readonly claimed?: readonly LeaseRef[] };
    for (const { id, fence } of claimed) this.#leases.push({ id, fence });
  }
}

const aKind: fc.Arbitrary<Partial<NewTask>> = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom<Partial<NewTask>>({}, { keepMs: 300 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Partial<NewTask>>({ priority: 3 }, { tenant: "t" }, { delayMs: 40 }),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Partial<NewTask>>({ dedupKey: "k" }, { group: "g" }, { expireMs: 150 }),
  },
);
const aSize = fc.constantFrom(5, 5, 5, 5, 5, 1_100);
const aClaim: fc.Arbitrary<ClaimRequest> = fc.record({
  worker: fc.constantFrom("w1", "w2"),
  max: fc.constantFrom(1, 1, 3, 20, 50),
  leaseMs: fc.constantFrom(100, 5_000, 5_000, 5_000),
});
const rarely = fc.nat(9).map((n) => n === 0);

/** Tasks of one call, all of one kind. */
const addMany: fc.Arbitrary<Act> = fc
  .record({ count: fc.constantFrom(1, 2, 10, 40, 70), kind: aKind, size: aSize, isOld: rarely })
  .map(({ count, kind, size, isOld }) => async ({ store }, history) => {
    history.restart();
    const tasks = Array.from({ length: count }, (_, n) =>
      newTask(history.id(isOld && n === count - 1), size, kind),
    );
    return store.enqueue(QUEUE, tasks, { limit: LIMIT });
  });

/** A task of each of many callers, in one tick. */
const addEach: fc.Arbitrary<Act> = fc
  .record({ count: fc.constantFrom(1, 1, 5, 30), kind: aKind, isTwice: rarely })
  .map(({ count, kind, isTwice }) => async ({ store }, history) => {
    history.restart();
    const tasks = Array.from({ length: count }, () => newTask(history.id(false), 5, kind));
    if (isTwice) tasks.push(tasks[0]!);
    return Promise.all(tasks.map((task) => store.enqueue(QUEUE, [task], { limit: LIMIT })));
  });

const claim: fc.Arbitrary<Act> = aClaim.map((request) => async ({ store }) => ({
  claimed: await store.claim(QUEUE, request),
}));

const complete: fc.Arbitrary<Act> = fc
  .record({
    count: fc.constantFrom(1, 1, 3, 20, 50),
    step: fc.constantFrom(1, 1, 1, 2, 5),
    isTwice: rarely,
    size: aSize,
    fenceOff: fc.constantFrom(0, 0, 0, 0, 0, 1),
    request: fc.option(aClaim, { nil: undefined, freq: 4 }),
  })
  .map(({ count, step, isTwice, size, fenceOff, request }) => async ({ store }, history) => {
    const leases = history.latest(count, step);
    const settlements = [...leases, ...(isTwice ? leases.slice(0, 1) : [])].map(
      ({ id, fence }): Settlement => ({ id, fence: fence + fenceOff, kind: "complete", result: text(size) }),
    );
    if (settlements.length === 0) return undefined;
    return store.settle(QUEUE, settlements, request);
  });

const error = { code: "BROKEN", message: "" };
const endOtherwise: fc.Arbitrary<Act> = fc
  .record({ count: fc.constantFrom(1, 3), kind: fc.constantFrom("release" as const, "fail" as const) })
  .map(({ count, kind }) => async ({ store }, history) => {
    const settlements = history
      .latest(count, 1)
      .map((lease): Settlement =>
        kind === "release"
          ? { ...lease, kind }
          : { ...lease, kind, error, retry: { delayMs: 0, backoffState: 1 } },
      );
    return settlements.length === 0 ? undefined : store.settle(QUEUE, settlements);
  });

const others: readonly fc.Arbitrary<Act>[] = [
  fc.nat(30).map((back) => async ({ store }, history) => {
    const [lease] = history.latest(back + 1, 1);
    return lease && store.cancel(QUEUE, [lease.id], "not wanted");
  }),
  fc.constantFrom(true, false, false).map(
    (paused) =>
      async ({ store }) =>
        store.pause(QUEUE, paused),
  ),
  fc.constantFrom("work", "events").map((what) => async ({ store, waiting, place }, history) => {
    const [lease] = history.latest(1, 1);
    const begun =
      what === "work" || lease === undefined
        ? store.waitForWork(QUEUE, history.end)
        : store.waitForEvents(QUEUE, lease.id, 2, history.end);
    waiting.push(begun.catch(() => {}));
    await place.advance(1);
  }),
];

const anAct: fc.Arbitrary<Act> = fc.oneof(
  { weight: 6, arbitrary: addMany },
  { weight: 5, arbitrary: addEach },
  { weight: 6, arbitrary: claim },
  { weight: 16, arbitrary: complete },
  { weight: 1, arbitrary: endOtherwise },
  { weight: 2, arbitrary: fc.oneof(...others) },
  {
    weight: 4,
    arbitrary: fc.constantFrom(1, 1, 30, 100, 400).map(
      (ms): Act =>
        async ({ place }) =>
          place.advance(ms),
    ),
  },
);

function newTask(id: string, size: number, kind: Partial<NewTask>): NewTask {
  const times = { delayMs: 0, keepMs: 60_000, keepFailedMs: 60_000 };
  return {
    id,
    name: "work",
    input: text(size),
    priority: 0,
    maxAttempts: 3,
    maxLeaseLosses: 3,
    ...times,
    ...kind,
  };
}

function text(size: number): NewTask["input"] {
  return { text: "x".repeat(size), blobs: [] };
}

function texts(answer: unknown): readonly string[] {
  return (answer as readonly Buffer[]).map((value) => value.toString("latin1"));
}

function pairs(words: readonly string[]): readonly string[] {
  return Array.from({ length: words.length / 2 }, (_, n) => `${words[2 * n]} ${words[2 * n + 1]}`);
}

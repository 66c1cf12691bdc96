// Tasks that are added together are kept in rows: whatever happens to some of them, all come in the order of their turns.
import type { LeaseRef, NewTask, QueueStore } from "@holdfast/queue";
import { turnCost } from "@holdfast/queue";
import { redisTaskStore } from "@holdfast/queue/redis";
import fc from "fast-check";
import { describe, expect, inject, it } from "vitest";
import { redisPlaces } from "./support/redis-places.ts";

const redisUrl = inject("redisUrl");
const QUEUE = "rows";
const LEASE_MS = 60_000;

interface Flow {
  readonly priority: number;
  readonly tenant: string | undefined;
  readonly weight: number;
}

/** Which turns tasks have, in the words of the contract. */
class Turns {
  readonly waiting = new Map<string, { readonly priority: number; readonly turn: number }>();
  readonly #last = new Map<number, number>();
  readonly #next = new Map<string, number>();

  add(id: string, { priority, tenant = "", weight }: Flow): void {
    const flow = `${priority}:${tenant}`;
    const turn = Math.max(this.#last.get(priority) ?? 0, this.#next.get(flow) ?? 0);
    this.#next.set(flow, turn + turnCost(weight));
    this.waiting.set(id, { priority, turn });
  }

  claim(id: string): { readonly priority: number; readonly turn: number } {
    const { priority, turn } = this.waiting.get(id)!;
    this.waiting.delete(id);
    this.#last.set(priority, Math.max(this.#last.get(priority) ?? 0, turn));
    return { priority, turn };
  }

  forget(): void {
    this.#last.clear();
    this.#next.clear();
  }

  /** Of those that are next. */
  first(count: number): readonly string[] {
    return [...this.waiting.values()]
      .toSorted((a, b) => b.priority - a.priority || a.turn - b.turn)
      .slice(0, count)
      .map(placeOf);
  }
}

const placeOf = ({ priority, turn }: { readonly priority: number; readonly turn: number }): string =>
  `${priority}/${turn}`;

const aFlow: fc.Arbitrary<Flow> = fc.record({
  priority: fc.constantFrom(0, 0, 0, 5, -7, 1_000, -1_000),
  tenant: fc.constantFrom(undefined, undefined, undefined, "a", "b"),
  weight: fc.constantFrom(1, 1, 1, 3),
});
const anAct = fc.oneof(
  fc.record({ kind: fc.constant("add" as const), flow: aFlow, count: fc.integer({ min: 1, max: 250 }) }),
  fc.record({ kind: fc.constant("claim" as const), count: fc.integer({ min: 1, max: 200 }) }),
  fc.record({ kind: fc.constant("release" as const), share: fc.nat({ max: 3 }) }),
  fc.record({ kind: fc.constant("complete" as const), share: fc.nat({ max: 3 }) }),
  fc.record({
    kind: fc.constant("cancel" as const),
    from: fc.nat({ max: 99 }),
    step: fc.integer({ min: 1, max: 9 }),
  }),
);

describe.skipIf(redisUrl === "")("rows of tasks in Redis", () => {
  const places = redisPlaces(redisUrl);

  function open(change: (lua: string) => string): QueueStore {
    const { client, clock, prefix } = places.open(change);
    return redisTaskStore({ client, clock, prefix });
  }

  function keepsOrder(change: (lua: string) => string = (lua) => lua) {
    return fc.asyncProperty(fc.array(anAct, { minLength: 5, maxLength: 25 }), async (acts) => {
      const store = open(change);
      const history = new History(store);
      try {
        for (const act of acts) {
          if (act.kind === "add") await history.add(act.flow, act.count);
          else if (act.kind === "claim") await history.claim(act.count);
          else if (act.kind === "cancel") await history.cancel(act.from, act.step);
          else await history.settle(act.kind, act.share);
        }
        await history.drain();
      } finally {
        await store.close();
      }
    });
  }

  it("are claimed in the order of their turns", { timeout: 300_000 }, async () => {
    await fc.assert(keepsOrder(), { numRuns: 40 });
  });

  /** IDs that are listed as running once of two leases that one run renews the same run has ended one. */
  async function leasedAfter(change: (lua: string) => string): Promise<readonly string[]> {
    const store = open(change);
    const flow = { priority: 0, tenant: undefined, weight: 1 };
    await store.enqueue(QUEUE, [newTask("a", flow), newTask("b", flow)], { limit: 100 });
    const leases = await store.claim(QUEUE, { worker: "w", max: 2, leaseMs: LEASE_MS });
    const { id, fence } = leases[0]!;
    const result = { text: "1", blobs: [] };
    await Promise.all([
      store.renew(QUEUE, leases, LEASE_MS + 1),
      store.settle(QUEUE, [{ id, fence, kind: "complete", result }]),
    ]);
    const leased = await store.list(QUEUE, "running", 10);
    await store.close();
    return leased.map((task) => task.id);
  }

  it("forget those whom one run puts there and takes out", async () => {
    expect(await leasedAfter((lua) => lua)).toEqual(["b"]);
    const broken = (lua: string): string => {
      const guard = "if new[index] == id then return table.remove(new, index) end";
      if (lua.includes("ZPOPMIN")) expect(lua).toContain(guard);
      return lua.replace(guard, "");
    };
    expect(await leasedAfter(broken)).not.toEqual(["b"]);
  });

  describe("when there are no more turns", () => {
    /** Of those of each priority, how many were claimed before one of the next. */
    async function claimOrder(change: (lua: string) => string, tenant?: string): Promise<readonly number[]> {
      const { client, clock, prefix } = places.open(change);
      const store = redisTaskStore({ client, clock, prefix });
      const add = async (id: string, flow: Partial<Flow>): Promise<void> => {
        const task = newTask(id, { priority: 0, tenant: undefined, weight: 1, ...flow });
        await store.enqueue(QUEUE, [task], { limit: 100 });
      };
      await add("held", { priority: 9 });
      await useUpTurns(prefix);
      for (let n = 0; n < 5; n += 1) await add(`mine-${n}`, { tenant });
      for (let n = 0; n < 5; n += 1) await add(`less-${n}`, { priority: -1 });
      const claimed = await store.claim(QUEUE, { worker: "w", max: 20, leaseMs: LEASE_MS });
      await store.close();
      return claimed.map(({ id }) => ["held", "mine", "less"].indexOf(id.slice(0, 4)));
    }

    /** The two turns of priority 0 are the sixth and the seventh counter. */
    async function useUpTurns(prefix: string): Promise<void> {
      const { redis } = places;
      const [name] = await redis.keys(`${prefix}*:meta`);
      const counters = await redis.getBuffer(name!);
      for (const at of [40, 48]) counters!.writeDoubleLE(2 ** 42 - 100, at);
      await redis.set(name!, counters!);
    }

    it.each([undefined, "a"])("goes on by priority (tenant %s)", async (tenant) => {
      const order = await claimOrder((lua) => lua, tenant);
      expect(order).toEqual([0, ...Array<number>(5).fill(1), ...Array<number>(5).fill(2)]);
    });

    it.each([undefined, "a"])("finds out a script that lets turns grow (tenant %s)", async (tenant) => {
      const grow = (lua: string): string =>
        lua.replaceAll(/math\.min\((turn \+ (?:kind\.)?cost), 4398046511103\)/g, "$1");
      const order = await claimOrder(grow, tenant);
      expect(order).not.toEqual(order.toSorted((a, b) => a - b));
    });
  });

  const mutants: Readonly<Record<string, readonly [guard: string, broken: string]>> = {
    "does not look who comes in between": ["place <= #members and score <= limit", "place <= #members"],
    "puts back what is left of a row under its old turn": [
      "put_row(members, place, score)",
      "put_row(members, place, score - 60 * (place - 1))",
    ],
    "leaves a cancelled task in its row": ["if not was_alone and t[3] == 0", "if false and t[3] == 0"],
    "leaves those in their rows who have left": ["if not gone[id] then", "if id then"],
    "takes out a row for one of it": ["if kept[1] then call('ZADD'", "if false then call('ZADD'"],
    "puts into a row what is not its next": ["score == row_next and row_size < 32", "row and row_size < 32"],
  };
  it.each(Object.entries(mutants))(
    "finds out a script that %s",
    { timeout: 300_000 },
    async (_, [guard, broken]) => {
      const breakIt = (lua: string): string => {
        if (lua.includes("ZPOPMIN")) expect(lua).toContain(guard);
        return lua.replace(guard, broken);
      };
      const found = await fc.check(keepsOrder(breakIt), { numRuns: 200, seed: 1, endOnFailure: true });
      expect(found.failed).toBe(true);
    },
  );
});

class History {
  readonly #turns = new Turns();
  readonly #held = new Map<string, LeaseRef & { readonly priority: number; readonly turn: number }>();
  readonly #completed = new Set<string>();
  #added = 0;

  constructor(private readonly store: QueueStore) {}

  async add(flow: Flow, count: number): Promise<void> {
    const tasks = Array.from({ length: count }, () => newTask(`task-${(this.#added += 1)}`, flow));
    if (this.#turns.waiting.size + this.#held.size === 0) this.#turns.forget();
    for (const { id } of tasks) this.#turns.add(id, flow);
    const result = await this.store.enqueue(QUEUE, tasks, { limit: 1_000_000 });
    expect(result.full).toBe(false);
  }

  async claim(max: number): Promise<number> {
    const expected = this.#turns.first(max);
    const claimed = await this.store.claim(QUEUE, { worker: "w", max, leaseMs: LEASE_MS });
    const places = claimed.map(({ id, fence }) => {
      const place = this.#turns.claim(id);
      this.#held.set(id, { id, fence, ...place });
      return placeOf(place);
    });
    expect(places).toEqual(expected);
    return claimed.length;
  }

  async settle(kind: "release" | "complete", share: number): Promise<void> {
    const some = [...this.#held.values()].filter((_, index) => index % 4 <= share);
    await this.store.settle(
      QUEUE,
      some.map(({ id, fence }) =>
        kind === "release" ? { id, fence, kind } : { id, fence, kind, result: { text: "1", blobs: [] } },
      ),
    );
    for (const { id, priority, turn } of some) {
      this.#held.delete(id);
      if (kind === "release") this.#turns.waiting.set(id, { priority, turn });
      else this.#completed.add(id);
    }
  }

  async cancel(from: number, step: number): Promise<void> {
    const ids = [...this.#turns.waiting.keys()].filter((_, index) => index >= from && index % step === 0);
    const outcomes = await this.store.cancel(QUEUE, ids, "not wanted");
    expect(outcomes.every((outcome) => outcome === "cancelled")).toBe(true);
    for (const id of ids) this.#turns.waiting.delete(id);
  }

  /** Everything that is to be claimed is, once. */
  async drain(): Promise<void> {
    const { ready, running } = await this.store.stats(QUEUE);
    expect([ready, running]).toEqual([this.#turns.waiting.size, this.#held.size]);
    const listed = await this.store.list(QUEUE, "ready", 10_000);
    expect(new Set(listed.map(({ id }) => id))).toEqual(new Set(this.#turns.waiting.keys()));
    const leased = await this.store.list(QUEUE, "running", 10_000);
    expect(leased.map(({ id }) => id).toSorted()).toEqual([...this.#held.keys()].toSorted());
    const ended = await this.store.list(QUEUE, "completed", 10_000);
    expect(ended.map(({ id }) => id).toSorted()).toEqual([...this.#completed].toSorted());
    while ((await this.claim(97)) > 0);
    expect(this.#turns.waiting.size).toBe(0);
  }
}

function newTask(id: string, { priority, tenant, weight }: Flow): NewTask {
  const times = { delayMs: 0, keepMs: 60_000, keepFailedMs: 60_000 };
  const input = { text: "1", blobs: [] };
  const task = { id, name: "work", input, priority, maxAttempts: 3, maxLeaseLosses: 3, ...times };
  return { ...task, weight, ...(tenant === undefined ? {} : { tenant }) };
}

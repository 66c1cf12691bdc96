import { defineTask, handle, memoryStore } from "@holdfast/queue";
import type { NewTask, QueueStore } from "@holdfast/queue";
import { describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";
import { bench, gate, rejection } from "./bench.ts";

const job = defineTask<number, number, number>({ name: "job" });

/** A memory store that shows what it was given. */
function spied(
  options: Parameters<typeof bench>[0] = {},
): ReturnType<typeof bench> & { readonly added: NewTask[] } {
  const made = bench(options);
  const added: NewTask[] = [];
  const { enqueue } = made.store;
  (made.store as { enqueue: QueueStore["enqueue"] }).enqueue = async (queue, tasks, limits) => {
    added.push(...tasks);
    return enqueue.call(made.store, queue, tasks, limits);
  };
  return { ...made, added };
}

describe("a group", () => {
  it(row(177, "runs as many at a time as its limit allows, and starts no more than its rate"), async () => {
    const { queue, work, clock, settle } = bench();
    const held = gate();
    let running = 0;
    let most = 0;
    await using _ = work([
      handle(job, async ({ input }) => {
        most = Math.max(most, (running += 1));
        await held.promise;
        running -= 1;
        return input;
      }),
    ]);
    const group = { key: "bank", concurrency: 3 };
    await queue.enqueueMany(
      job,
      [1, 2, 3, 4, 5].map((input) => ({ input, group })),
    );
    await settle();
    expect((await queue.stats()).running).toBe(3);
    held.open();
    await settle();
    expect(most).toBe(3);

    const slow = { key: "sms", concurrency: 10, rate: { tasks: 2, per: "1s" } } as const;
    await queue.enqueueMany(
      job,
      [1, 2, 3, 4].map((input) => ({ input, group: slow })),
    );
    await settle();
    expect((await queue.stats()).completed).toBe(7);
    await clock.advance("500ms");
    expect((await queue.stats()).completed).toBe(8);
    await clock.advance("500ms");
    expect((await queue.stats()).completed).toBe(9);
  });

  it("has the limits that its queue gives it, unless the task says otherwise, or nothing was said", async () => {
    const groupLimit = (key: string) => (key === "vip" ? { concurrency: 5 } : undefined);
    const { queue, added } = spied({ groupLimit });
    await queue.enqueue(job, 1, { group: "vip" });
    await queue.enqueue(job, 1, { group: "other" });
    await queue.enqueue(job, 1, { group: { key: "vip", rate: { tasks: 1, per: "1m" } } });
    await queue.enqueue(job, 1, { group: { key: "bare" } });
    expect(added.map(({ group, groupLimit: limit }) => [group, limit])).toEqual([
      ["vip", { concurrency: 5 }],
      ["other", undefined],
      ["vip", { concurrency: 1, rate: { tasks: 1, perMs: 60_000 } }],
      ["bare", undefined],
    ]);
  });

  it.each([
    [{ key: "" }, /group/],
    [{ key: "g", concurrency: 0 }, /group\.concurrency/],
    [{ key: "g", rate: { tasks: 0, per: 1 } }, /group\.rate\.tasks/],
    [{ key: "g", rate: { tasks: 1, per: 0 } }, /group\.rate\.per/],
  ])("is refused as %o", async (group, message) => {
    const { queue } = bench();
    const error = await rejection(queue.enqueue(job, 1, { group }));
    expect(error).toMatchObject({ code: "INVALID_OPTION" });
    expect(error.message).toMatch(message);
  });
});

describe("tenants", () => {
  it("take turns by their weights, however much one of them has added", async () => {
    const { queue, store } = bench({ weightOf: (tenant) => (tenant === "b" ? 2 : undefined) });
    await queue.enqueueMany(
      job,
      Array.from({ length: 90 }, () => ({ input: 0, tenant: "a" })),
    );
    await queue.enqueueMany(
      job,
      Array.from({ length: 20 }, () => ({ input: 0, tenant: "b" })),
    );
    const claimed = await store.claim("bench", { worker: "w", max: 30, leaseMs: 1_000 });
    const statuses = await store.get(
      "bench",
      claimed.map(({ id }) => id),
    );
    const ofB = statuses.filter((status) => status?.tenant === "b").length;
    expect(ofB).toBeGreaterThanOrEqual(19);
    expect(statuses.filter((status) => status?.tenant === "a").length).toBe(30 - ofB);
  });

  it("have the weight that is said, else the queue's, and none without a tenant", async () => {
    const { queue, added } = spied({ weightOf: () => 7 });
    await queue.enqueue(job, 1, { tenant: "t", weight: 3 });
    await queue.enqueue(job, 1, { tenant: "t" });
    await queue.enqueue(job, 1);
    expect(added.map(({ tenant, weight }) => [tenant, weight])).toEqual([
      ["t", 3],
      ["t", 7],
      [undefined, undefined],
    ]);
    expect((await rejection(queue.enqueue(job, 1, { weight: 2 }))).message).toMatch(/weight.*tenant/);
    expect((await rejection(queue.enqueue(job, 1, { tenant: "t", weight: 61 }))).message).toMatch(/weight/);
  });
});

describe("a task that expires", () => {
  it("is cancelled if it was not started in time, and else runs on", async () => {
    const { queue, work, clock, settle } = bench();
    const late = await queue.enqueue(job, 1, { expiresIn: "1m" });
    await clock.advance("1m");
    expect(await queue.status(late.id)).toMatchObject({ state: "cancelled", reason: "expired" });
    const inTime = await queue.enqueue(job, 1, { expiresIn: "1m" });
    await using _ = work([handle(job, async ({ input }) => (await clock.sleep("5m"), input))]);
    await settle();
    await clock.advance("5m");
    expect(await queue.wait(job, inTime.id)).toBe(1);
  });

  it("does so by the queue's default, unless it says otherwise", async () => {
    const { queue, added } = spied({ expiresIn: "1h", store: memoryStore() });
    await queue.enqueue(job, 1);
    await queue.enqueue(job, 1, { expiresIn: "5s" });
    expect(added.map(({ expireMs }) => expireMs)).toEqual([3_600_000, 5_000]);
  });
});

describe("a queue", () => {
  it("lets nothing be claimed while it is paused, and tells so", async () => {
    const { queue, work, settle } = bench();
    await using _ = work([handle(job, ({ input }) => input)]);
    await queue.pause();
    const { id } = await queue.enqueue(job, 1);
    await settle();
    expect((await queue.status(id)).state).toBe("ready");
    expect((await queue.meter()).paused).toBe(true);
    await queue.resume();
    await settle();
    expect((await queue.status(id)).state).toBe("completed");
    expect(await queue.meter()).toMatchObject({ paused: false, added: 1, started: 1, completed: 1 });
  });

  it("lists tasks by state, as many as asked for", async () => {
    const { queue } = bench();
    await queue.enqueueMany(job, [{ input: 1 }, { input: 2 }, { input: 3, delay: "1m" }]);
    expect(await queue.list("ready")).toHaveLength(2);
    expect(await queue.list("ready", 1)).toHaveLength(1);
    expect((await queue.list("scheduled"))[0]).toMatchObject({ state: "scheduled" });
    expect(await rejection(queue.list("ready", 1_001))).toMatchObject({ code: "INVALID_OPTION" });
    expect(await rejection(queue.list("odd" as never))).toMatchObject({ code: "INVALID_OPTION" });
  });
});

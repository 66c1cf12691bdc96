// Each row of the table in docs/migrate-queue.md, shown.
import { readFileSync } from "node:fs";
import { defineTask, handle } from "@holdfast/queue";
import { schedule, scheduler } from "@holdfast/queue/cron";
import { manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { bench, closed, gate, rejection } from "./bench.ts";

const document = readFileSync(new URL("../../../docs/migrate-queue.md", import.meta.url), "utf8");
const table = document.split("## What behaves otherwise")[1] ?? "";
const cases = [...table.matchAll(/^\| (.+?) +\|/gm)].map(([, name]) => name!).slice(2);

const job = defineTask<unknown, never>({ name: "job" });
const start = Date.UTC(2026, 10, 21);
const claimOne = { worker: "w", max: 1, leaseMs: 1_000 };

function timed(missed: "latest" | "all") {
  return schedule({ key: "k", every: "1m", missed, task: job, input: 1, options: { dedupKey: "only" } });
}

const shown: Readonly<Record<string, () => Promise<void>>> = {
  "What a worker writes that lost its lease": async () => {
    const { queue, store, clock } = bench();
    const { id } = await queue.enqueue(job, 1);
    const [zombie] = await store.claim("bench", claimOne);
    await clock.advance("1s");
    const [next] = await store.claim("bench", { ...claimOne, worker: "next" });
    const progress = [{ ...zombie!, reports: [{ kind: "progress", value: 99 }] as const }];
    expect(await store.report("bench", progress)).toEqual([{ written: false, cause: "lease_lost" }]);
    const done = { id, fence: zombie!.fence, kind: "complete", result: { text: "1", blobs: [] } } as const;
    expect((await store.settle("bench", [done])).outcomes).toEqual([{ written: false, cause: "lease_lost" }]);
    expect(await queue.status(id)).toMatchObject({ state: "running", worker: "next" });
    expect(next!.fence).toBeGreaterThan(zombie!.fence);
  },
  "Cancel of a task that runs elsewhere": async () => {
    const { queue, work, settle } = bench();
    let reason: unknown;
    await using _ = work([
      handle(
        job,
        ({ signal }) =>
          new Promise((resolve) => {
            signal.addEventListener("abort", () => resolve((reason = signal.reason)));
          }),
      ),
    ]);
    const { id } = await queue.enqueue(job, 1);
    await settle();
    expect(await queue.cancel(id, "not wanted")).toBe(true);
    expect(await queue.status(id)).toMatchObject({ state: "cancelled", reason: "not wanted" });
    await settle();
    expect(reason).toMatchObject({ code: "TASK_CANCELLED", reason: "not wanted" });
  },
  Priority: async () => {
    const { queue, store } = bench();
    const priorities = [{ priority: 1 }, {}, { priority: 10 }];
    const added = await queue.enqueueMany(
      job,
      priorities.map((options) => ({ input: 1, ...options })),
    );
    const claimed = await store.claim("bench", { ...claimOne, max: 3 });
    expect(claimed.map(({ id }) => added.findIndex((one) => one.id === id))).toEqual([2, 0, 1]);
  },
  "The number of tries": async () => {
    const twice = defineTask<unknown, never>({ name: "twice", attempts: 2 });
    const { queue, work, clock } = bench();
    let tries = 0;
    await using _ = work([
      handle(twice, () => {
        tries += 1;
        throw new Error("no");
      }),
    ]);
    const { id } = await queue.enqueue(twice, 1);
    await clock.advance("1h");
    expect([tries, (await queue.status(id)).state]).toEqual([2, "failed"]);
  },
  "A worker that dies": async () => {
    const { queue, store, clock } = bench();
    const { id } = await queue.enqueue(job, 1);
    for (let death = 1; death <= 5; death += 1) {
      await store.claim("bench", claimOne);
      await clock.advance("1s");
      expect(await queue.status(id)).toMatchObject({ state: "ready", attempt: 1, leaseLosses: death });
    }
    await store.claim("bench", claimOne);
    await clock.advance("1s");
    expect(await queue.status(id)).toMatchObject({ state: "failed", error: { code: "LEASE_LOST" } });
  },
  "A second task with a dedup key": async () => {
    const { queue } = bench();
    const { id } = await queue.enqueue(job, 1, { dedupKey: "k" });
    expect(await queue.enqueue(job, 2, { dedupKey: "k" })).toEqual({ id, duplicate: true });
  },
  "A dedup key after its task has ended": async () => {
    const { queue } = bench();
    const { id } = await queue.enqueue(job, 1, { dedupKey: "k" });
    await queue.cancel(id);
    expect((await queue.enqueue(job, 2, { dedupKey: "k" })).duplicate).toBe(false);
  },
  "An ID that is taken": async () => {
    const { queue } = bench();
    await queue.enqueue(job, 1, { id: "order:1" });
    expect(await rejection(queue.enqueue(job, 1, { id: "order:1" }))).toMatchObject({ code: "TASK_EXISTS" });
  },
  "Waiting for a task that was removed": async () => {
    const { queue, settle } = bench();
    const { id } = await queue.enqueue(job, 1);
    const waiting = rejection(queue.wait(job, id));
    await settle();
    await Promise.all([queue.cancel(id), queue.discard(id)]);
    expect(await waiting).toMatchObject({ code: "TASK_NOT_FOUND" });
    expect(await rejection(queue.wait(job, id))).toMatchObject({ code: "TASK_NOT_FOUND" });
  },
  "Events before anybody listens": async () => {
    const { queue, work } = bench();
    await using _ = work([handle(job, () => 1)]);
    const { id } = await queue.enqueue(job, 1);
    await queue.wait(job, id);
    const seen = [];
    for await (const { type } of queue.events(id)) seen.push(type);
    expect(seen).toEqual(["enqueued", "started", "completed"]);
  },
  "Bytes in a payload": async () => {
    const { queue, work } = bench();
    await using _ = work([handle(job, ({ input }) => input)]);
    const { id } = await queue.enqueue(job, { picture: new Uint8Array([1, 2]) });
    expect(await queue.wait(job, id)).toEqual({ picture: new Uint8Array([1, 2]) });
  },
  "A payload of the wrong shape": async () => {
    const { queue } = bench();
    const mail = defineTask({ name: "mail", input: z.object({ to: z.email() }) });
    expect(await rejection(queue.enqueue(mail, { to: "nobody" }))).toMatchObject({ code: "INVALID_PAYLOAD" });
    expect((await queue.stats()).ready).toBe(0);
  },
  "A handler that takes too long": async () => {
    const { queue, work, clock } = bench();
    let reason: unknown;
    const working = work([
      handle(
        job,
        ({ signal }) =>
          new Promise((resolve) => {
            signal.addEventListener("abort", () => resolve((reason = signal.reason)));
          }),
      ),
    ]);
    await queue.enqueue(job, 1);
    await clock.advance("899s");
    expect(reason).toBeUndefined();
    await clock.advance("1s");
    expect(reason).toMatchObject({ code: "TIMEOUT" });
    await closed(working, clock);
  },
  "A full queue": async () => {
    const { queue, clock } = bench({ limit: 1 });
    const { id } = await queue.enqueue(job, 1);
    expect(await rejection(queue.enqueue(job, 2))).toMatchObject({ code: "QUEUE_FULL" });
    const adding = queue.enqueue(job, 2, { whenFull: "wait" });
    await clock.advance("1s");
    await queue.cancel(id);
    await clock.advance("5s");
    expect((await adding).duplicate).toBe(false);
  },
  "Tasks that are done": async () => {
    const { queue, work, clock, settle } = bench();
    const once = defineTask<unknown, never>({ name: "once", attempts: 1 });
    const working = work([
      handle(job, () => 1),
      handle(once, () => {
        throw new Error("no");
      }),
    ]);
    await queue.enqueue(job, 1);
    await queue.enqueue(once, 1);
    await settle();
    await closed(working, clock);
    await clock.advance("59m");
    expect(await queue.stats()).toMatchObject({ completed: 1, failed: 1 });
    await clock.advance("1m");
    expect(await queue.stats()).toMatchObject({ completed: 0, failed: 1 });
    await clock.advance("14d");
    expect(await queue.stats()).toMatchObject({ failed: 0 });
  },
  "A dead letter that is redriven": async () => {
    const { queue, work, settle } = bench();
    const once = defineTask<unknown, never>({ name: "once", attempts: 1 });
    let isFine = false;
    await using _ = work([
      handle(once, () => {
        if (!isFine) throw new Error("no");
        return "fine";
      }),
    ]);
    const { id } = await queue.enqueue(once, 1);
    await settle();
    expect((await queue.deadLetters()).map((dead) => dead.id)).toEqual([id]);
    isFine = true;
    expect(await queue.redrive(id)).toBe(1);
    expect(await queue.wait(once, id)).toBe("fine");
  },
  "A schedule whose dedup key is taken": async () => {
    const { queue, clock } = bench({ clock: manualClock(start) });
    const { id } = await queue.enqueue(job, 1, { dedupKey: "only" });
    await using _ = scheduler(queue, [timed("latest")]);
    await clock.advance("3m");
    expect((await queue.stats()).ready).toBe(1);
    await queue.cancel(id);
    await clock.advance("1m");
    expect((await queue.list("ready")).map((task) => task.id)).toEqual(["k:2026-11-21T00:04:00Z"]);
  },
  "Times a schedule has missed": async () => {
    for (const [missed, expected] of [
      ["latest", 2],
      ["all", 6],
    ] as const) {
      const { queue, store, clock } = bench({ clock: manualClock(start) });
      const entry = (): ReturnType<typeof schedule> =>
        schedule({ key: "k", every: "1m", missed, task: job, input: 1 });
      const before = scheduler(queue, [entry()]);
      await clock.advance("1m");
      await before.close();
      await clock.advance("5m");
      await using _ = scheduler(queue, [entry()]);
      await clock.advance("1s");
      expect((await store.stats("bench")).ready).toBe(expected);
    }
  },
  "Closing while the store is away": async () => {
    const { queue, store, work, clock, settle } = bench();
    const held = gate();
    const working = work([handle(job, () => held.promise)]);
    await queue.enqueue(job, 1);
    await settle();
    (store as { settle: unknown }).settle = () => new Promise(() => {});
    const closing = working.close({ within: "2s" });
    await clock.advance("2s");
    expect(await closing).toEqual({ finished: 0, givenBack: 0 });
    held.open();
  },
};

describe("docs/migrate-queue.md", () => {
  it("has a row for each case that is shown here, and shows each", () => {
    expect(cases.toSorted()).toEqual(Object.keys(shown).toSorted());
  });

  for (const [name, show] of Object.entries(shown)) it(`shows: ${name}`, show);
});

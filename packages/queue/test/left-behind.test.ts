// Handlers that do not listen: they were left behind, but they are still there.
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { LeftBehindEvent } from "@holdfast/queue";
import { defineTask, handle } from "@holdfast/queue";
import { describe, expect, it } from "vitest";
import { bench, gate } from "./bench.ts";

const deaf = defineTask<number, number, number>({ name: "deaf", timeout: 20, attempts: 1_000 });

/** Counts handlers that are alive at a time. */
function counted(): {
  readonly most: () => number;
  readonly run: (work: Promise<unknown>) => Promise<number>;
} {
  let alive = 0;
  let most = 0;
  return {
    most: () => most,
    run: async (work) => {
      most = Math.max(most, (alive += 1));
      await work;
      return (alive -= 1);
    },
  };
}

function heard(): { readonly events: LeftBehindEvent[] } & Disposable {
  const events: LeftBehindEvent[] = [];
  const note = (event: unknown): void => void events.push(event as LeftBehindEvent);
  subscribe("holdfast:queue:left_behind", note);
  return { events, [Symbol.dispose]: () => void unsubscribe("holdfast:queue:left_behind", note) };
}

describe("a handler that ignores its signal", () => {
  it.each([1, 3])("keeps its place of %i until it has really ended [pitfall 14]", async (concurrency) => {
    const { queue, clock, work } = bench();
    const { most, run } = counted();
    await using working = work([handle(deaf, () => run(clock.sleep("3s")))], { concurrency, grace: 10 });
    await queue.enqueueMany(
      deaf,
      Array.from({ length: 20 }, (_, input) => ({ input })),
    );
    for (let at = 0; at < 100; at += 1) {
      await clock.advance("1s");
      expect(working.running + working.leftBehind).toBeLessThanOrEqual(concurrency);
    }
    expect(most()).toBe(concurrency);
    const { meter } = queue;
    // Every three seconds each place is free for another one.
    expect((await meter.call(queue)).started).toBeGreaterThanOrEqual(30 * concurrency);
  });

  it("loses its task to another worker, and takes nothing in its place", async () => {
    const { queue, clock, work, settle } = bench();
    const held = gate<number>();
    using told = heard();
    await using stuck = work([handle(deaf, () => held.promise)], { name: "a", concurrency: 1, grace: 10 });
    const { id } = await queue.enqueue(deaf, 1);
    await settle();
    await clock.advance("1m");
    expect([stuck.running, stuck.leftBehind]).toEqual([0, 1]);
    expect(await queue.status(id)).toMatchObject({ state: "ready", attempt: 1 });
    expect(told.events).toEqual([
      {
        queue: "bench",
        worker: "a",
        task: "deaf",
        id,
        attempt: 1,
        fence: expect.any(Number) as number,
        ended: false,
        leftBehind: 1,
        concurrency: 1,
      },
    ]);
    await using _ = work([handle(deaf, ({ input }) => input)]);
    expect(await queue.wait(deaf, id)).toBe(1);
    const { id: next } = await queue.enqueue(deaf, 2);
    expect(await queue.wait(deaf, next)).toBe(2);
    held.open(666);
    await settle();
    expect(stuck.leftBehind).toBe(0);
    expect(told.events.at(-1)).toMatchObject({ id, ended: true, leftBehind: 0 });
  });

  it("is waited for before its worker goes on, whether it returns or throws", async () => {
    const { queue, clock, work, settle } = bench();
    const gates = [gate<number>(), gate<number>()];
    let runs = 0;
    await using working = work([handle(deaf, ({ input }) => gates[runs++]?.promise ?? input)], {
      concurrency: 2,
      grace: 10,
    });
    await queue.enqueueMany(deaf, [{ input: 0 }, { input: 1 }]);
    const third = await queue.enqueue(deaf, 3);
    await settle();
    await clock.advance("1m");
    expect([working.leftBehind, runs]).toEqual([2, 2]);
    gates[0]!.open(0);
    expect(await queue.wait(deaf, third.id)).toBe(3);
    gates[1]!.fail(new Error("at last"));
    await settle();
    expect(working.leftBehind).toBe(0);
  });

  it("counts too after a cancel and after a lost lease", async () => {
    const { queue, clock, work, settle } = bench();
    const patient = defineTask<number, number, number>({ name: "patient", timeout: "1h" });
    const held = gate<number>();
    await using working = work([handle(patient, () => held.promise)], { concurrency: 1, grace: 10 });
    const { id } = await queue.enqueue(patient, 1);
    await settle();
    await queue.cancel(id);
    await queue.enqueue(patient, 2);
    await clock.advance("1m");
    expect([working.running, working.leftBehind, (await queue.stats()).ready]).toEqual([0, 1, 1]);
    held.open(1);
    await clock.advance("1s");
    expect((await queue.stats()).completed).toBe(1);
  });

  it("counts while it is traced, though its span has ended", async () => {
    const { queue, clock, work, settle } = bench({
      tracing: {
        sending: (_about, send) => send(undefined),
        processing: (_about, run) => run(),
      },
    });
    const held = gate<number>();
    await using working = work([handle(deaf, () => held.promise)], { concurrency: 1, grace: 10 });
    await queue.enqueue(deaf, 1);
    await settle();
    await clock.advance("1m");
    expect(working.leftBehind).toBe(1);
    held.fail(new Error("at last"));
    await settle();
    expect(working.leftBehind).toBe(0);
  });

  it("does not hold up the close of its worker", async () => {
    const { queue, clock, work, settle } = bench();
    const working = work([handle(deaf, () => new Promise<number>(() => {}))], { concurrency: 1, grace: 10 });
    await queue.enqueue(deaf, 1);
    await settle();
    await clock.advance("1m");
    expect(working.leftBehind).toBe(1);
    expect(await working.close({ within: "5s" })).toEqual({ finished: 0, givenBack: 0 });
  });
});

describe("a handler that waits in a step for ever", () => {
  const long = defineTask<number, number, number>({ name: "long", timeout: "1h" });

  it("was suspended, not left behind", async () => {
    const { queue, clock, work, settle } = bench();
    await using working = work([handle(long, async ({ step }) => (await step.waitFor<number>("go"), 1))], {
      concurrency: 1,
    });
    const tasks = await queue.enqueueMany(long, [{ input: 1 }, { input: 2 }]);
    await settle();
    await clock.advance("1s");
    expect([(await queue.stats()).waiting, working.leftBehind]).toEqual([2, 0]);
    for (const { id } of tasks) await queue.signal(id, "go");
    await clock.advance("1s");
    expect((await queue.stats()).completed).toBe(2);
  });

  it("gives its place back when it comes to a step after it was left behind", async () => {
    const { queue, clock, work, settle } = bench();
    const held = gate();
    await using working = work(
      [handle(deaf, async ({ step }) => (await held.promise, await step.run("late", () => 1)))],
      { concurrency: 1, grace: 10 },
    );
    await queue.enqueue(deaf, 1);
    await settle();
    await clock.advance("1m");
    expect(working.leftBehind).toBe(1);
    held.open();
    await settle();
    expect(working.leftBehind).toBe(0);
  });

  it.each(["sleep", "waitFor", "join", "saga", "children"] as const)(
    "has not been left behind by the end of its time in step.%s either",
    async (kind) => {
      const { queue, clock, work, settle } = bench();
      const held = gate();
      await using working = work(
        [
          handle(deaf, async ({ step, attempt }) => {
            if (attempt > 1) return 1;
            await held.promise;
            // Catches all it is told, and comes to a step again.
            for (let at = 0; at < 3; at += 1) {
              const waits = {
                sleep: () => step.sleep(`s${at}`, "10m"),
                waitFor: () => step.waitFor(`e${at}`),
                join: () => step.join(`j${at}`, []),
                saga: () => step.saga(`saga${at}`, () => 1),
                children: () => step.children(`c${at}`),
              };
              await waits[kind]().catch(() => {});
            }
            return new Promise<number>(() => {});
          }),
        ],
        { concurrency: 1, grace: 10 },
      );
      await queue.enqueue(deaf, 1);
      await settle();
      await clock.advance("1m");
      expect(working.leftBehind).toBe(1);
      held.open();
      await settle();
      expect(working.leftBehind).toBe(0);
    },
  );
});

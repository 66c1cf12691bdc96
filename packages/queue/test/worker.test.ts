import { channel, constant } from "@holdfast/core";
import type { RunEndedEvent, TaskContext } from "@holdfast/queue";
import {
  defineTask,
  handle,
  PermanentError,
  TaskCancelledError,
  TaskFailedError,
  WORKER_DEFAULTS,
  worker,
} from "@holdfast/queue";
import { faulty, leakCheck } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { row } from "../../../tools/systems/row.mjs";
import { bench, closed, gate, rejection } from "./bench.ts";

const double = defineTask<number, number, number>({ name: "double" });

/** A task that may be tried three times, with a second in between. */
const flaky = defineTask<string, string, string>({ name: "flaky", attempts: 3, backoff: constant("1s") });

describe("a worker", () => {
  it("runs a task's handler on its input and stores the result", async () => {
    const { queue, work } = bench();
    const { id } = await queue.enqueue(double, 21);
    await using working = work([handle(double, ({ input }) => input * 2)]);
    expect(await queue.wait(double, id)).toBe(42);
    expect(await queue.result(id)).toEqual({ value: 42 });
    expect(working.running).toBe(0);
  });

  it("tells the handler which try of which task it runs, and under which fence", async () => {
    const { queue, work } = bench();
    const seen: TaskContext<string>[] = [];
    await using _ = work([handle(flaky, (context) => (seen.push(context), "done"))]);
    const { id } = await queue.enqueue(flaky, "x");
    await queue.wait(flaky, id);
    const { attempt, maxAttempts, fence, remainingMs, aborted } = seen[0]!;
    expect({ id: seen[0]!.id, attempt, maxAttempts, aborted, remainingMs }).toEqual({
      id,
      attempt: 1,
      maxAttempts: 3,
      aborted: false,
      remainingMs: 900_000,
    });
    expect(fence).toBeGreaterThan(0);
  });

  it("keeps bytes through input and result, in copies of their own", async () => {
    const { queue, work } = bench();
    const invert = defineTask<{ bytes: Uint8Array }, { bytes: Uint8Array }, { bytes: Uint8Array }>({
      name: "invert",
    });
    const bytes = new Uint8Array([0, 1, 255]);
    const { id } = await queue.enqueue(invert, { bytes });
    bytes.fill(7);
    await using _ = work([
      handle(invert, ({ input }) => {
        const inverted = input.bytes.map((byte) => 255 - byte);
        input.bytes.fill(9);
        return { bytes: inverted };
      }),
    ]);
    expect(await queue.wait(invert, id)).toEqual({ bytes: new Uint8Array([255, 254, 0]) });
  });

  it("runs as many handlers at a time as it may, and the next as soon as one ends", async () => {
    const { queue, work, settle } = bench();
    const gates = [gate(), gate(), gate(), gate(), gate()];
    let most = 0;
    let current = 0;
    const hold = defineTask<number, number, number>({ name: "hold" });
    const working = work(
      [
        handle(hold, async ({ input }) => {
          most = Math.max(most, (current += 1));
          await gates[input]!.promise;
          current -= 1;
          return input;
        }),
      ],
      { concurrency: 2 },
    );
    const tasks = await queue.enqueueMany(
      hold,
      gates.map((_, input) => ({ input })),
    );
    await settle();
    expect([current, working.running, (await queue.stats()).ready]).toEqual([2, 2, 3]);
    gates[1]!.open();
    await settle();
    expect([current, (await queue.stats()).ready]).toEqual([2, 2]);
    for (const { open } of gates) open();
    for (const { id } of tasks) await queue.wait(hold, id);
    expect(most).toBe(2);
    await working.close();
  });

  it("never holds more than it has room for while a claim and a settlement are on their way at a time", async () => {
    const { clock, store } = bench();
    // A store that takes a while over claims: settlements that claim too overtake them.
    const slow = faulty(store, {
      plan: ({ method }) => (method === "claim" ? { kind: "latency", delay: 100 } : undefined),
      clock,
    });
    const { queue, work, settle } = bench({ store: slow, clock });
    const hold = defineTask<number, number, number>({ name: "hold" });
    const gates = Array.from({ length: 12 }, () => gate());
    await queue.enqueueMany(hold, [{ input: 0 }, { input: 1 }]);
    const working = work([handle(hold, async ({ input }) => (await gates[input]!.promise, input))], {
      concurrency: 4,
    });
    await clock.advance(100);
    expect(working.running).toBe(2);
    const later = gates.slice(2).map((_, index) => ({ input: index + 2 }));
    await queue.enqueueMany(hold, later);
    await settle();
    gates[0]!.open();
    gates[1]!.open();
    let most = 0;
    for (let step = 0; step < 20; step += 1) {
      await clock.advance(10);
      most = Math.max(most, working.running);
    }
    expect(most).toBe(4);
    for (const { open } of gates) open();
    await clock.advance("5s");
    expect((await queue.stats()).completed).toBe(12);
    await closed(working, clock);
  });

  it("ends tasks in two batches that stay alike, whenever they end", async () => {
    const { clock, store } = bench();
    const slow = faulty(store, {
      plan: ({ method }) => (method === "settle" ? { kind: "latency", delay: 10 } : undefined),
      clock,
    });
    const sizes: number[] = [];
    const settle = slow.settle.bind(slow);
    slow.settle = (queue, settlements, claim) => {
      sizes.push(settlements.length);
      return settle(queue, settlements, claim);
    };
    const at = bench({ store: slow, clock });
    const hold = defineTask<number, number, number>({ name: "hold" });
    const early = gate();
    const late = gate();
    await at.queue.enqueueMany(
      hold,
      Array.from({ length: 100 }, (_, input) => ({ input })),
    );
    const run = async (input: number): Promise<number> => (await (input < 20 ? early : late).promise, input);
    await using _ = at.work([handle(hold, ({ input }) => run(input))], { concurrency: 100 });
    await at.settle();
    early.open();
    await clock.advance(5);
    late.open();
    await clock.advance("1s");
    expect(sizes).toEqual([20, 50, 30]);
  });

  it(row(81, "shares tasks with other workers, each to exactly one of them"), async () => {
    const { queue, clock, work } = bench();
    const ran: string[] = [];
    const by: number[] = [];
    const workers = [0, 1, 2].map((number) =>
      work(
        [
          handle(double, async ({ input, id }) => {
            ran.push(id);
            by.push(number);
            await clock.sleep(10);
            return input * 2;
          }),
        ],
        { concurrency: 2 + number },
      ),
    );
    const tasks = await queue.enqueueMany(
      double,
      Array.from({ length: 100 }, (_, input) => ({ input })),
    );
    await clock.advance("1s");
    for (const { id } of tasks) await queue.wait(double, id);
    expect(ran.toSorted()).toEqual(tasks.map(({ id }) => id).toSorted());
    expect(new Set(by).size).toBe(3);
    for (const working of workers) await working.close();
  });

  it(
    row(82, "works off a spike that came while no worker was there, and goes on where one has failed"),
    async () => {
      const { queue, clock, store, work } = bench();
      await queue.enqueueMany(
        double,
        Array.from({ length: 2_000 }, (_, input) => ({ input })),
      );
      await store.claim("bench", { worker: "dead", max: 50, leaseMs: 5_000 });
      await clock.advance("1s");
      expect(await queue.stats()).toMatchObject({ ready: 1_950, running: 50 });
      await using _ = work([handle(double, ({ input }) => input * 2)], { concurrency: 20 });
      await clock.advance("5s");
      expect(await queue.stats()).toMatchObject({ ready: 0, running: 0, completed: 2_000 });
    },
  );

  it("does not lose the lock on a task that takes no time (a false 'missing lock')", async () => {
    const { queue, work } = bench();
    const ended: RunEndedEvent[] = [];
    const runEnded = channel<RunEndedEvent>("queue", "run_ended");
    const stop = runEnded.subscribe((event) => ended.push(event));
    await using _ = work([handle(double, ({ input }) => input * 2)]);
    const tasks = await queue.enqueueMany(
      double,
      Array.from({ length: 200 }, (_, input) => ({ input })),
    );
    for (const { id } of tasks) await queue.wait(double, id);
    stop();
    expect(ended).toHaveLength(200);
    expect(ended.every(({ written, settlement }) => written && settlement === "complete")).toBe(true);
  });

  it("goes on when somebody who listens to it throws", async () => {
    const { queue, work } = bench();
    const stop = channel<RunEndedEvent>("queue", "run_ended").subscribe(() => {
      throw new Error("a listener's own");
    });
    await using _ = work([handle(double, ({ input }) => input * 2)]);
    for (const input of [1, 2, 3]) {
      const { id } = await queue.enqueue(double, input);
      expect(await queue.wait(double, id)).toBe(input * 2);
    }
    stop();
  });

  it("refuses options that are out of range, no handlers, and two for one task", () => {
    const { queue } = bench();
    const handler = handle(double, ({ input }) => input);
    expect(() => worker(queue, [])).toThrow(/at least one handler/);
    expect(() => worker(queue, [handler, handler])).toThrow(/one handler for each task/);
    expect(() => worker(queue, [handler], { concurrency: 0 })).toThrow(/concurrency/);
    expect(() => worker(queue, [handler], { lease: 29 })).toThrow(/lease/);
    expect(() => worker(queue, [handler], { grace: "-1s" as never })).toThrow(/grace/);
    expect(WORKER_DEFAULTS.concurrency).toBe(10);
  });

  it("leaves no timer behind when it is closed", async () => {
    const { queue, clock, store, work } = bench();
    const leaks = leakCheck({ clocks: [clock] });
    const working = work([handle(double, ({ input }) => input)]);
    await queue.wait(double, (await queue.enqueue(double, 1)).id);
    await working.close();
    await store.close();
    leaks.assertNone();
  });
});

describe("tries", () => {
  it("are made again after the task's backoff, until one succeeds", async () => {
    const { queue, clock, work, settle } = bench();
    const attempts: number[] = [];
    await using _ = work([
      handle(flaky, ({ attempt }) => {
        attempts.push(attempt);
        if (attempt < 3) throw new Error("not yet");
        return "at last";
      }),
    ]);
    const { id } = await queue.enqueue(flaky, "x");
    await settle();
    expect(await queue.status(id)).toMatchObject({
      state: "scheduled",
      lastError: { code: "Error", message: "not yet" },
    });
    await clock.advance(999);
    expect(attempts).toEqual([1]);
    await clock.advance(1);
    expect(attempts).toEqual([1, 2]);
    await clock.advance("1s");
    expect(await queue.wait(flaky, id)).toBe("at last");
    expect(attempts).toEqual([1, 2, 3]);
  });

  it(row(76, "are made after waits that double, with jitter, unless a task says otherwise"), async () => {
    const { queue, clock, work } = bench();
    const failing = defineTask<string, string, string>({ name: "failing", attempts: 6 });
    const at: number[] = [];
    await using _ = work(
      [
        handle(failing, () => {
          at.push(clock.monotonic());
          throw new Error("not yet");
        }),
      ],
      // The longest wait that full jitter can draw.
      { random: () => 1 - Number.EPSILON },
    );
    await queue.enqueue(failing, "x");
    await clock.advance("5m");
    const waits = at.slice(1).map((time, index) => time - at[index]!);
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000]);
  });

  it("end in the dead letters when the last one fails, and start again when redriven", async () => {
    const { queue, clock, work } = bench();
    let isWell = false;
    await using _ = work([
      handle(flaky, () => {
        if (!isWell) throw Object.assign(new Error("broken"), { code: "BROKEN" });
        return "well";
      }),
    ]);
    const { id } = await queue.enqueue(flaky, "x");
    await clock.advance("2s");
    const error = await rejection(queue.wait(flaky, id));
    expect(error).toBeInstanceOf(TaskFailedError);
    expect(error).toMatchObject({ code: "TASK_FAILED", reason: "BROKEN", message: "broken" });
    expect((await queue.deadLetters()).map((letter) => letter.id)).toEqual([id]);
    isWell = true;
    expect(await queue.redrive(id)).toBe(1);
    await clock.advance(0);
    expect(await queue.wait(flaky, id)).toBe("well");
    expect(await queue.deadLetters()).toEqual([]);
  });

  it("stop at once for a permanent error", async () => {
    const { queue, work, settle } = bench();
    let tries = 0;
    await using _ = work([
      handle(flaky, () => {
        tries += 1;
        throw new PermanentError("no such account", { code: "NO_ACCOUNT" });
      }),
    ]);
    const { id } = await queue.enqueue(flaky, "x");
    await settle();
    expect(await queue.status(id)).toMatchObject({ state: "failed", error: { code: "NO_ACCOUNT" } });
    expect(tries).toBe(1);
  });

  it("wait for as long as an error's Retry-After asks, if that is longer than the backoff", async () => {
    const { queue, work, settle } = bench();
    await using _ = work([
      handle(flaky, () => {
        throw Object.assign(new Error("busy"), { retryAfterMs: 30_000 });
      }),
    ]);
    const { id } = await queue.enqueue(flaky, "x");
    await settle();
    const status = await queue.status(id);
    expect(status).toMatchObject({ state: "scheduled", dueAt: status.enqueuedAt + 30_000 });
  });

  it.each([
    [
      "throws",
      () => {
        throw new Error("no backoff");
      },
    ],
    ["answers NaN", () => ({ delayMs: Number.NaN, state: 0 })],
    ["answers for ever", () => ({ delayMs: Infinity, state: 0 })],
    ["answers less than nothing", () => ({ delayMs: -5, state: 0 })],
  ])("are made a second later when the task's own backoff %s", async (_, next) => {
    const { queue, work, settle } = bench();
    const odd = defineTask<string, string, string>({ name: "odd", backoff: { summary: "odd", next } });
    await using working = work([
      handle(odd, () => {
        throw new Error("broken");
      }),
    ]);
    const { id } = await queue.enqueue(odd, "x");
    await settle();
    const status = await queue.status(id);
    expect(status).toMatchObject({ state: "scheduled", dueAt: status.enqueuedAt + 1_000 });
    expect(working.running).toBe(0);
  });

  it("wait whole milliseconds, whatever jitter draws", async () => {
    const { queue, work, settle } = bench();
    const backoff = { summary: "a third", next: () => ({ delayMs: 1_000 / 3, state: 0 }) };
    const third = defineTask<string, string, string>({ name: "third", backoff });
    await using _ = work([
      handle(third, () => {
        throw new Error("broken");
      }),
    ]);
    const { id } = await queue.enqueue(third, "x");
    await settle();
    const status = await queue.status(id);
    expect(status).toMatchObject({ state: "scheduled", dueAt: status.enqueuedAt + 334 });
  });

  it("survive whatever is thrown", async () => {
    const { queue, work, settle } = bench();
    const thrown: unknown[] = [
      undefined,
      null,
      "text",
      0,
      { code: 7 },
      new Proxy(
        {},
        {
          get: () => {
            throw new Error("no");
          },
        },
      ),
    ];
    const once = defineTask<number, number, string>({ name: "once", attempts: 1 });
    await using _ = work([
      handle(once, ({ input }) => {
        throw thrown[input];
      }),
    ]);
    const tasks = await queue.enqueueMany(
      once,
      thrown.map((_thrown, input) => ({ input })),
    );
    await settle();
    for (const { id } of tasks) expect((await queue.status(id)).state).toBe("failed");
  });

  it("fail for a task that the worker does not know, in the hope of another worker", async () => {
    const { queue, clock, work, settle } = bench();
    const { id } = await queue.enqueue(double, 21);
    const old = work([handle(flaky, () => "")]);
    await settle();
    expect(await queue.status(id)).toMatchObject({ state: "scheduled", lastError: { code: "NO_HANDLER" } });
    await closed(old, clock);
    await using _ = work([handle(double, ({ input }) => input * 2)]);
    await clock.advance("1m");
    expect(await queue.wait(double, id)).toBe(42);
  });
});

describe("schemas", () => {
  const resize = defineTask({
    name: "resize",
    input: z.object({ width: z.coerce.number().int().positive() }),
    output: z.object({ pixels: z.number() }),
  });

  it("are checked on the way in, and nothing is added that does not fit", async () => {
    const { queue } = bench();
    const error = await rejection(queue.enqueue(resize, { width: -1 }));
    expect(error).toMatchObject({ code: "INVALID_PAYLOAD", end: "input", task: "resize", status: 422 });
    expect((error as unknown as { issues: string[] }).issues[0]).toMatch(/^width: /);
    expect((await queue.stats()).ready).toBe(0);
  });

  it("refuse what JSON would not carry, before it is added", async () => {
    const { queue } = bench();
    const dated = defineTask({ name: "dated", input: z.object({ at: z.date() }) });
    expect(await rejection(queue.enqueue(dated, { at: new Date() }))).toMatchObject({
      code: "INVALID_PAYLOAD",
    });
  });

  it("give the handler what they make of the input", async () => {
    const { queue, work } = bench();
    await using _ = work([handle(resize, ({ input }) => ({ pixels: input.width * input.width }))]);
    const { id } = await queue.enqueue(resize, { width: "12" });
    expect(await queue.wait(resize, id)).toEqual({ pixels: 144 });
  });

  it("are checked again before a task runs: one of an older version fails for good", async () => {
    const { queue, work, settle } = bench();
    const older = defineTask<{ height: number }>({ name: "resize" });
    const { id } = await queue.enqueue(older, { height: 3 });
    let ran = 0;
    await using _ = work([handle(resize, () => ((ran += 1), { pixels: 1 }))]);
    await settle();
    expect(await queue.status(id)).toMatchObject({ state: "failed", error: { code: "INVALID_PAYLOAD" } });
    expect(ran).toBe(0);
  });

  it("are checked before a result is stored: a wrong one fails for good", async () => {
    const { queue, work, settle } = bench();
    await using _ = work([handle(resize, () => ({ pixels: "many" }) as never)]);
    const { id } = await queue.enqueue(resize, { width: 1 });
    await settle();
    expect(await queue.status(id)).toMatchObject({
      state: "failed",
      attempt: 1,
      error: { code: "INVALID_PAYLOAD" },
    });
  });
});

describe("payloads", () => {
  it("larger than the queue allows are refused on the way in and out", async () => {
    const { queue, work, settle } = bench({ maxPayloadBytes: 1_000 });
    const grow = defineTask<Uint8Array, Uint8Array, Uint8Array>({ name: "grow" });
    expect(await rejection(queue.enqueue(grow, new Uint8Array(1_001)))).toMatchObject({
      code: "PAYLOAD_TOO_LARGE",
      maxBytes: 1_000,
    });
    const { id } = await queue.enqueue(grow, new Uint8Array(600));
    await using _ = work([handle(grow, ({ input }) => new Uint8Array(input.length * 2))]);
    await settle();
    expect(await queue.status(id)).toMatchObject({
      state: "failed",
      attempt: 1,
      error: { code: "PAYLOAD_TOO_LARGE" },
    });
  });

  it("that cannot be stored are refused on the way in and out", async () => {
    const { queue, work, settle } = bench();
    const odd = defineTask({ name: "odd" });
    const cycle: Record<string, unknown> = {};
    cycle["self"] = cycle;
    for (const value of [cycle, 1n, () => {}, { deep: new Float64Array(1) }])
      expect(await rejection(queue.enqueue(odd, value))).toMatchObject({ code: "UNSERIALIZABLE" });
    const { id } = await queue.enqueue(odd, undefined);
    await using _ = work([handle(odd, ({ input }) => (input === undefined ? 1n : 0))]);
    await settle();
    expect(await queue.status(id)).toMatchObject({
      state: "failed",
      attempt: 1,
      error: { code: "UNSERIALIZABLE" },
    });
  });
});

describe("progress and logs", () => {
  it("reach the status and the events", async () => {
    const { queue, work } = bench();
    await using _ = work([
      handle(double, async ({ input, progress, log }) => {
        await progress({ percent: 50 });
        await log("half way");
        return input;
      }),
    ]);
    const { id } = await queue.enqueue(double, 1);
    await queue.wait(double, id);
    expect((await queue.status(id)).progress).toEqual({ percent: 50 });
    const types: string[] = [];
    for await (const { type } of queue.events(id)) types.push(type);
    expect(types).toEqual(["enqueued", "started", "progress", "log", "completed"]);
  });

  it("are written before the end of a task, though nobody awaits them", async () => {
    const { queue, work } = bench();
    await using _ = work([
      handle(double, ({ input, progress, log }) => {
        void progress(99);
        void log("the last word");
        return input;
      }),
    ]);
    const { id } = await queue.enqueue(double, 1);
    await queue.wait(double, id);
    const seen: string[] = [];
    for await (const event of queue.events(id)) seen.push(event.type);
    expect(seen).toEqual(["enqueued", "started", "progress", "log", "completed"]);
  });

  it("refuse what cannot be written or is too large; a line is cut", async () => {
    const { queue, work } = bench();
    const failures: unknown[] = [];
    await using _ = work([
      handle(double, async ({ input, progress, log }) => {
        for (const value of [1n, undefined, () => {}, "x".repeat(8_193)])
          await progress(value).catch((error: { code: string }) => failures.push(error.code));
        await log("y".repeat(3_000));
        return input;
      }),
    ]);
    const { id } = await queue.enqueue(double, 1);
    await queue.wait(double, id);
    expect(failures).toEqual(["UNSERIALIZABLE", "UNSERIALIZABLE", "UNSERIALIZABLE", "PAYLOAD_TOO_LARGE"]);
    for await (const event of queue.events(id))
      if (event.type === "log") expect(event.line).toHaveLength(2_000);
  });

  it("that are refused and not awaited do not end the process", async () => {
    const { queue, work, settle } = bench();
    const held = gate();
    let context: TaskContext<number> | undefined;
    await using _ = work([handle(double, async (given) => ((context = given), await held.promise, 1))]);
    const { id } = await queue.enqueue(double, 1);
    await settle();
    await queue.cancel(id);
    void context!.progress(1);
    void context!.log("late");
    expect(await rejection(context!.progress(2))).toBeInstanceOf(TaskCancelledError);
    held.open();
    await settle();
    expect((await queue.status(id)).progress).toBeUndefined();
  });
});

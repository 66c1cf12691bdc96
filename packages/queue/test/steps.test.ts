import { channel, constant, retry } from "@holdfast/core";
import { leakCheck } from "@holdfast/core/testing";
import type { StepEndedEvent, TaskContext } from "@holdfast/queue";
import { defineTask, handle, PermanentError } from "@holdfast/queue";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { row } from "../../../tools/systems/row.mjs";
import { bench, closed, gate, rejection } from "./bench.ts";

type Context = TaskContext<string>;

/** A task that is tried three times, a second apart. */
const task = defineTask<string, string>({ name: "steps", attempts: 3, backoff: constant("1s") });

/** A bench with a worker whose handler is given, and notes of what ran. */
function stage(handler: (context: Context, ran: string[]) => unknown) {
  const ran: string[] = [];
  const at = bench();
  const working = at.work([handle(task, (context) => handler(context, ran))], { lease: "10s" });
  return { ...at, ran, working, start: async () => (await at.queue.enqueue(task, "in")).id };
}

/** Digests are made on another thread, which takes turns of the event loop but no time of the clock. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setImmediate(resolve));
}

/** The names of what is recorded. */
async function recorded({ store }: { store: ReturnType<typeof bench>["store"] }, id: string) {
  return (await store.checkpoints("bench", id)).map(({ name }) => name);
}

describe("a step", () => {
  it(row(90, "is not run again by the next try of its task, which goes on behind it"), async () => {
    const { ran, clock, queue, start } = stage(async ({ step, attempt }, ran) => {
      const a = await step.run("a", () => (ran.push("a"), { at: attempt }));
      const b = await step.run("b", () => {
        ran.push("b");
        if (attempt < 3) throw new Error("not yet");
        return attempt;
      });
      return [a, b];
    });
    const id = await start();
    await clock.advance("2s");
    expect(await queue.wait(task, id)).toEqual([{ at: 1 }, 3]);
    expect(ran).toEqual(["a", "b", "b", "b"]);
  });

  it("answers the first time what any later run will get: a copy through JSON and bytes", async () => {
    const given = { at: new Date(0), bytes: new Uint8Array([1, 2]), none: undefined };
    const seen: unknown[] = [];
    const { clock, start } = stage(async ({ step, attempt }) => {
      const value = await step.run("a", () => given);
      seen.push(value);
      if (attempt === 1) throw new Error("once");
    });
    await start();
    await clock.advance("1s");
    expect(seen[0]).toEqual({ at: "1970-01-01T00:00:00.000Z", bytes: new Uint8Array([1, 2]) });
    expect(seen[1]).toEqual(seen[0]);
    expect(seen[0]).not.toBe(given);
  });

  it("is recorded before the next one runs", async () => {
    const at = bench();
    const seen: string[][] = [];
    at.work([
      handle(task, async ({ id, step }) => {
        for (const name of ["a", "b", "c"])
          await step.run(name, async () => void seen.push(await recorded(at, id)));
      }),
    ]);
    await at.queue.enqueue(task, "in");
    await at.settle();
    expect(seen).toEqual([[], ["a"], ["a", "b"]]);
  });

  it("gets a key that is the same in every run, and the fence of this one", async () => {
    const keys: string[] = [];
    const fences: number[] = [];
    const { clock, start } = stage(async ({ step }) => {
      await step.run("pay/card 1", ({ idempotencyKey, fence, attempt, signal }) => {
        keys.push(idempotencyKey);
        fences.push(fence);
        expect(signal.aborted).toBe(false);
        if (attempt < 3) throw new Error("not yet");
      });
    });
    const id = await start();
    await clock.advance("2s");
    expect(keys).toEqual([`${id}/pay/card 1`, `${id}/pay/card 1`, `${id}/pay/card 1`]);
    expect(fences[0]! < fences[1]! && fences[1]! < fences[2]!).toBe(true);
  });

  it("gets a number behind its name when the name is used again, in the order of the calls", async () => {
    const at = stage(async ({ step, attempt }, ran) => {
      const values: number[] = [];
      for (const n of [1, 2, 3]) values.push(await step.run("loop", () => (ran.push(`loop ${n}`), n)));
      if (attempt === 1) throw new Error("once");
      return values;
    });
    const id = await at.start();
    await at.clock.advance("1s");
    expect(await at.queue.wait(task, id)).toEqual([1, 2, 3]);
    expect(at.ran).toEqual(["loop 1", "loop 2", "loop 3"]);
    expect(await recorded(at, id)).toEqual(["loop", "loop#2", "loop#3"]);
  });

  it("runs beside others, and each is recorded, also when one of them fails the try", async () => {
    const slow = gate();
    const { ran, clock, queue, settle, start } = stage(async ({ step, attempt }, ran) => {
      const made = await Promise.all([
        step.run("slow", async () => (await slow.promise, ran.push("slow"), "slow")),
        step.run("quick", () => (ran.push("quick"), "quick")),
        step.run("bad", () => {
          ran.push("bad");
          if (attempt === 1) throw new Error("once");
          return "bad";
        }),
      ]);
      return made;
    });
    const id = await start();
    await settle();
    // The handler has failed, but its try ends only when what it began has ended.
    expect((await queue.status(id)).state).toBe("running");
    slow.open();
    await clock.advance("1s");
    expect(await queue.wait(task, id)).toEqual(["slow", "quick", "bad"]);
    expect(ran).toEqual(["quick", "bad", "slow", "bad"]);
  });

  it("that nobody waits for is recorded before its task completes, and its failure ends no process", async () => {
    const later = gate();
    const at = stage(({ step }) => {
      void step.run("later", () => later.promise);
      void step.run("bad", () => Promise.reject(new Error("unheard")));
      return "returned";
    });
    const id = await at.start();
    await at.settle();
    expect((await at.queue.status(id)).state).toBe("running");
    later.open();
    await at.settle();
    expect(await at.queue.wait(task, id)).toBe("returned");
    expect(await recorded(at, id)).toEqual(["later"]);
  });

  it("costs a task that uses none not one call more", async () => {
    const { store, clock } = bench();
    const calls: string[] = [];
    const counted = new Proxy(store, {
      get(target, key: keyof typeof store) {
        const member = target[key];
        if (typeof member !== "function") return member;
        return (...args: never[]) => (
          calls.push(key),
          (member as (...given: never[]) => unknown).apply(target, args)
        );
      },
    });
    const at = bench({ store: counted, clock });
    at.work([handle(task, async ({ input, step }) => (input === "none" ? 1 : step.run("a", () => 1)))]);
    await at.queue.enqueue(task, "none");
    await at.settle();
    expect(calls.filter((call) => call.startsWith("checkpoint"))).toEqual([]);
    await at.queue.enqueue(task, "one");
    await at.settle();
    expect(calls.filter((call) => call.startsWith("checkpoint"))).toEqual(["checkpoint"]);
  });

  it("tells of itself when it has ended", async () => {
    const events: StepEndedEvent[] = [];
    const stop = channel<StepEndedEvent>("queue", "step_ended").subscribe((event) => events.push(event));
    const { clock, start } = stage(async ({ step, attempt }) => {
      await step.run("a", () => clock.sleep(5));
      await step.run("b", () => {
        if (attempt === 1) throw new Error("once");
      });
    });
    const id = await start();
    await clock.advance("2s");
    stop();
    const told = events.map(({ step, outcome, attempt, durationMs }) => [step, outcome, attempt, durationMs]);
    expect(told).toEqual([
      ["a", "completed", 1, 5],
      ["b", "failed", 1, 0],
      ["b", "completed", 2, 0],
    ]);
    expect(events[0]).toMatchObject({ queue: "bench", task: "steps", id });
  });
});

describe("a step that fails for good", () => {
  it("is recorded as failed when its handler goes on, and fails again in every later run", async () => {
    const { ran, clock, queue, start } = stage(async ({ step, attempt }, ran) => {
      const error = await rejection(
        step.run("a", () => {
          ran.push("a");
          throw new PermanentError("no money", { code: "NO_MONEY" });
        }),
      );
      const other = await step.run("b", () => (ran.push("b"), "b"));
      if (attempt === 1) throw new Error("once");
      return [error.code, error.message, other];
    });
    const id = await start();
    await clock.advance("1s");
    expect(await queue.wait(task, id)).toEqual(["NO_MONEY", "no money", "b"]);
    expect(ran).toEqual(["a", "b"]);
  });

  it("is recorded also when its handler makes another error of it that is not for good", async () => {
    const { ran, clock, queue, start } = stage(async ({ step, attempt }, ran) => {
      const code = await step
        .run("a", () => {
          ran.push("a");
          throw new PermanentError("no", { code: "NO" });
        })
        .catch((error: { code: string }) => error.code);
      if (attempt < 3) throw new Error(`wrapped ${code}`);
      return code;
    });
    const id = await start();
    await clock.advance("2s");
    expect(await queue.wait(task, id)).toBe("NO");
    expect(ran).toEqual(["a"]);
  });

  it("runs again when the task that it ended is redriven", async () => {
    let isWell = false;
    const { ran, settle, queue, start } = stage(async ({ step }, ran) => {
      await step.run("a", () => ran.push("a"));
      await step.run("b", () => {
        ran.push("b");
        if (!isWell) throw new PermanentError("no", { code: "NO" });
      });
      return "well";
    });
    const id = await start();
    await settle();
    expect(await queue.status(id)).toMatchObject({ state: "failed", error: { code: "NO", message: "no" } });
    isWell = true;
    await queue.redrive(id);
    await settle();
    expect(await queue.wait(task, id)).toBe("well");
    expect(ran).toEqual(["a", "b", "b"]);
  });
});

describe("a step that comes back as something else", () => {
  it("fails the task for good, naming the step and both digests, when its input differs", async () => {
    let amount = 5;
    const { ran, clock, queue, start } = stage(async ({ step, attempt }, ran) => {
      await step.run("pay", () => ran.push("pay"), { input: { amount, to: "ann" } });
      if (attempt === 1) throw new Error("once");
    });
    const id = await start();
    await until(async () => (await queue.status(id)).state === "scheduled");
    amount = 6;
    await clock.advance("1s");
    await until(async () => (await queue.status(id)).state === "failed");
    const status = await queue.status(id);
    expect(status).toMatchObject({ state: "failed", attempt: 2, error: { code: "STEP_MISMATCH" } });
    const digest = "[0-9a-f]{64}";
    const { message } = (status as { error: { message: string } }).error;
    expect(message).toMatch(
      new RegExp(`^step "pay" of task ${id} .*input ${digest}, and now has ${digest}$`),
    );
    expect(ran).toEqual(["pay"]);
  });

  it("is the same for an input whose members come in another order", async () => {
    const { clock, queue, start } = stage(async ({ step, attempt }) => {
      const input = attempt === 1 ? { a: 1, b: 2 } : { b: 2, a: 1 };
      await step.run("pay", () => "paid", { input });
      if (attempt === 1) throw new Error("once");
      return "same";
    });
    const id = await start();
    await until(async () => (await queue.status(id)).state === "scheduled");
    await clock.advance("1s");
    expect(await queue.wait(task, id)).toBe("same");
  });

  it("fails the task for good when it is another kind of step", async () => {
    const { clock, queue, start } = stage(async ({ step, attempt }) => {
      if (attempt === 1) await step.run("x", () => 1);
      else await step.sleep("x", "1h");
      throw new Error("once");
    });
    const id = await start();
    await clock.advance("1s");
    const message = `step "x" of task ${id} was recorded with the kind run, and now has sleep`;
    expect(await queue.status(id)).toMatchObject({
      state: "failed",
      error: { code: "STEP_MISMATCH", message },
    });
  });

  it("[pitfall 26] may have moved, and others may have come or gone", async () => {
    const { ran, clock, queue, start } = stage(async ({ step, attempt }, ran) => {
      const names = attempt === 1 ? ["a", "b", "c"] : ["c", "new", "a"];
      for (const name of names) await step.run(name, () => ran.push(name));
      if (attempt === 1) throw new Error("once");
      return "moved";
    });
    const id = await start();
    await clock.advance("1s");
    expect(await queue.wait(task, id)).toBe("moved");
    expect(ran).toEqual(["a", "b", "c", "new"]);
  });
});

describe("the bounds of a step", () => {
  it.each(["", "a:b", "a#2", "ü", "x".repeat(101), 7 as never])("refuse the name %s", async (name) => {
    const { settle, queue, start } = stage(({ step }) => step.run(name, () => 1));
    const id = await start();
    await settle();
    expect(await queue.status(id)).toMatchObject({ lastError: { code: "INVALID_OPTION" } });
  });

  it("refuse an outcome larger than a payload, for good", async () => {
    const at = bench({ maxPayloadBytes: 1_000 });
    at.work([handle(task, ({ step }) => step.run("big", () => "x".repeat(1_000)))]);
    const { id } = await at.queue.enqueue(task, "in");
    await at.settle();
    expect(await at.queue.status(id)).toMatchObject({
      state: "failed",
      error: { code: "PAYLOAD_TOO_LARGE" },
    });
  });

  it("refuse what JSON cannot say, for good", async () => {
    const { settle, queue, start } = stage(({ step }) => step.run("odd", () => 10n));
    const id = await start();
    await settle();
    expect(await queue.status(id)).toMatchObject({ state: "failed", error: { code: "UNSERIALIZABLE" } });
  });

  it("refuse more than 10,000 of them, for good, before the next one runs", { timeout: 60_000 }, async () => {
    const { ran, settle, queue, start } = stage(async ({ step }, ran) => {
      const many = Array.from({ length: 10_000 }, (_, n) => step.run(`s${n}`, () => n));
      await Promise.all(many);
      await step.run("one more", () => ran.push("one more"));
    });
    const id = await start();
    for (let turn = 0; turn < 5; turn += 1) await settle();
    expect(await queue.status(id)).toMatchObject({ state: "failed", error: { code: "TOO_MANY_STEPS" } });
    expect(ran).toEqual([]);
  });
});

describe("a step's options", () => {
  it("wrap its function in a policy", async () => {
    let tries = 0;
    const { clock, queue, start } = stage(({ step }) =>
      step.run(
        "flaky",
        () => {
          tries += 1;
          if (tries < 3) throw new Error("not yet");
          return "at last";
        },
        { policy: retry({ attempts: 3, backoff: constant("10ms"), clock }) },
      ),
    );
    const id = await start();
    await clock.advance("1s");
    expect(await queue.wait(task, id)).toBe("at last");
    expect(await queue.status(id)).toMatchObject({ attempt: 1 });
  });

  it("check its outcome, now and when it is taken from the journal", async () => {
    const schema = z.object({ n: z.coerce.number<string>() });
    const seen: unknown[] = [];
    const { clock, queue, start } = stage(async ({ step, attempt }) => {
      seen.push(await step.run("a", () => ({ n: "7" }), { output: schema }));
      if (attempt === 1) throw new Error("once");
      await step.run("bad", () => ({ n: "no number" }), { output: schema });
    });
    const id = await start();
    await clock.advance("1s");
    expect(seen).toEqual([{ n: 7 }, { n: 7 }]);
    expect(await queue.status(id)).toMatchObject({
      state: "failed",
      attempt: 2,
      error: { code: "INVALID_PAYLOAD" },
    });
  });
});

describe("values that a run must not see change", () => {
  it("are the time and a random number", async () => {
    const seen: unknown[] = [];
    const { clock, start } = stage(async ({ step, attempt }) => {
      seen.push([await step.now(), await step.random(), await step.now(), await step.random()]);
      if (attempt < 3) throw new Error("not yet");
    });
    await start();
    await clock.advance("2s");
    expect(seen).toHaveLength(3);
    expect(seen[1]).toEqual(seen[0]);
    expect(seen[2]).toEqual(seen[0]);
    const [now, random, , other] = seen[0] as number[];
    expect(now).toBe(1_700_000_000_000);
    expect(random).not.toBe(other);
  });
});

describe("a run that loses its lease", () => {
  it("records nothing more, and its handler learns it at the next step, which does not run", async () => {
    const at = bench();
    const frozen = gate();
    const ran: string[] = [];
    const errors: unknown[] = [];
    const handler = handle(task, async ({ step, fence }) => {
      await step.run("a", () => ran.push("a"));
      try {
        await step.run("b", async () => {
          ran.push("b");
          if (ran.length === 2) await frozen.promise;
          return fence;
        });
      } catch (error) {
        errors.push(error);
      }
      return step.run("c", () => (ran.push("c"), fence)).catch((error: unknown) => void errors.push(error));
    });
    // Two workers whose stores do not renew: the first freezes, the second takes over.
    at.store.renew = () => new Promise(() => {});
    at.work([handler], { lease: "10s", concurrency: 1, grace: "1h" });
    const { id } = await at.queue.enqueue(task, "in");
    await at.settle();
    const other = at.work([handler], { lease: "10s", concurrency: 1 });
    await at.clock.advance("11s");
    expect(ran).toEqual(["a", "b", "b", "c"]);
    const status = await at.queue.status(id);
    expect(status).toMatchObject({ state: "completed", leaseLosses: 1 });
    frozen.open();
    await at.clock.advance("1s");
    expect(ran).toEqual(["a", "b", "b", "c"]);
    expect(errors).toMatchObject([{ code: "LEASE_LOST" }, { code: "LEASE_LOST" }]);
    expect(await at.queue.status(id)).toEqual(status);
    await closed(other, at.clock);
  });

  it("begins no step when the clock says that it was frozen past its lease, without asking the store", async () => {
    const at = bench();
    const ran: string[] = [];
    const frozen = gate();
    at.work(
      [
        handle(task, async ({ step }) => {
          await step.run("a", () => ran.push("a"));
          await frozen.promise;
          await step.run("b", () => ran.push("b"));
        }),
      ],
      { lease: "10s" },
    );
    await at.queue.enqueue(task, "in");
    await at.settle();
    // Time passes without any timer: the process was stopped.
    const { monotonic } = at.clock;
    at.clock.monotonic = () => monotonic.call(at.clock) + 10_000;
    frozen.open();
    await new Promise((resolve) => setImmediate(resolve));
    at.clock.monotonic = monotonic;
    expect(ran).toEqual(["a"]);
  });

  it("is refused whatever step it records after somebody cancelled its task", async () => {
    const { ran, settle, queue, start } = stage(async ({ step }, ran) => {
      await step.run("a", async ({ signal }) => {
        ran.push("a");
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      });
      await step.run("b", () => ran.push("b"));
    });
    const id = await start();
    await settle();
    await queue.cancel(id, "enough");
    await settle();
    expect(ran).toEqual(["a"]);
    expect((await queue.status(id)).state).toBe("cancelled");
  });
});

describe("a store that fails while a step is recorded", () => {
  it("is asked again for as long as the lease lasts: what is done is not done twice", async () => {
    const at = bench();
    const { checkpoint } = at.store;
    let failures = 3;
    at.store.checkpoint = (...args) => {
      if ((failures -= 1) >= 0) return Promise.reject(new Error("down"));
      return checkpoint.apply(at.store, args);
    };
    const ran: string[] = [];
    const working = at.work([handle(task, ({ step }) => step.run("a", () => (ran.push("a"), "done")))]);
    const { id } = await at.queue.enqueue(task, "in");
    await at.clock.advance("5s");
    expect(await at.queue.wait(task, id)).toBe("done");
    expect(ran).toEqual(["a"]);
    await closed(working, at.clock);
  });
});

describe("a worker that closes", () => {
  it("records the step that its handler is in, gives the task back, and the next goes on behind it", async () => {
    const at = bench();
    const ran: string[] = [];
    const slow = gate();
    const handler = handle(task, async ({ step }) => {
      await step.run("a", async () => (await slow.promise, ran.push("a")));
      await step.run("b", () => ran.push("b"));
      return "done";
    });
    const first = at.work([handler]);
    const { id } = await at.queue.enqueue(task, "in");
    await at.settle();
    const closing = first.close({ within: "4s" });
    await at.clock.advance("2s");
    slow.open();
    await at.clock.advance(0);
    expect(await closing).toEqual({ finished: 0, givenBack: 1 });
    expect(ran).toEqual(["a"]);
    expect(await at.queue.status(id)).toMatchObject({ state: "ready", attempt: 1 });
    await using _ = at.work([handler]);
    await at.settle();
    expect(await at.queue.wait(task, id)).toBe("done");
    expect(ran).toEqual(["a", "b"]);
  });

  it("leaves no timer behind", async () => {
    const at = bench();
    const leaks = leakCheck({ clocks: [at.clock] });
    const working = at.work([
      handle(task, async ({ step }) => {
        await step.run("a", () => 1);
        await step.sleep("short", "100ms");
        await step.sleep("long", "1h");
      }),
    ]);
    await at.queue.enqueue(task, "in");
    await at.clock.advance("30m");
    await closed(working, at.clock);
    await at.store.close();
    leaks.assertNone();
  });
});

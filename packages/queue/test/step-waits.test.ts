import { constant } from "@holdfast/core";
import { taskApi } from "@holdfast/queue/http";
import { defineTask, handle, TaskNotFoundError } from "@holdfast/queue";
import type { TaskContext } from "@holdfast/queue";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { bench, gate, rejection } from "./bench.ts";

type Context = TaskContext<string>;

const task = defineTask<string, string>({ name: "waits", attempts: 2, backoff: constant("1s") });

function stage(handler: (context: Context, ran: string[]) => unknown) {
  const ran: string[] = [];
  const at = bench();
  const working = at.work([handle(task, (context) => handler(context, ran))], { concurrency: 1 });
  return { ...at, ran, working, start: async () => (await at.queue.enqueue(task, "in")).id };
}

describe("a durable sleep", () => {
  it("gives its slot back, uses up no try, and goes on behind it when it is over", async () => {
    const { ran, clock, queue, settle, working, start } = stage(async ({ step }, ran) => {
      ran.push("begin");
      await step.run("a", () => ran.push("a"));
      await step.sleep("pause", "2h");
      await step.run("b", () => ran.push("b"));
      return "done";
    });
    const id = await start();
    await settle();
    const dueAt = clock.now() + 7_200_000;
    expect(await queue.status(id)).toMatchObject({ state: "scheduled", dueAt });
    expect(working.running).toBe(0);
    await clock.advance(7_199_999);
    expect(ran).toEqual(["begin", "a"]);
    await clock.advance(1);
    expect(ran).toEqual(["begin", "a", "begin", "b"]);
    expect(await queue.wait(task, id)).toBe("done");
    expect(await queue.status(id)).toMatchObject({ attempt: 1, leaseLosses: 0 });
  });

  it("goes on for what is left of it after a failed try", async () => {
    const { clock, queue, start } = stage(async ({ step, attempt }) => {
      const slept = step.sleep("pause", "1h");
      await step.run("a", () => {
        if (attempt === 1) throw new Error("once");
      });
      await slept;
      return step.now();
    });
    const from = 1_700_000_000_000;
    const id = await start();
    await clock.advance("1h");
    expect(await queue.wait(task, id)).toBe(from + 3_600_000);
    expect(await queue.status(id)).toMatchObject({ attempt: 2 });
  });

  it("that is short keeps its slot", async () => {
    const { clock, queue, settle, working, start } = stage(async ({ step }) => {
      await step.sleep("moment", "900ms");
      return "done";
    });
    const id = await start();
    await settle();
    await clock.advance("800ms");
    expect((await queue.status(id)).state).toBe("running");
    expect(working.running).toBe(1);
    await clock.advance("100ms");
    expect(await queue.wait(task, id)).toBe("done");
  });

  it("ends at a given time, now if that is past", async () => {
    const { clock, queue, start } = stage(async ({ step }) => {
      await step.sleepUntil("past", 0);
      await step.sleepUntil("date", new Date(1_700_000_060_000));
      return step.now();
    });
    const id = await start();
    await clock.advance("1m");
    expect(await queue.wait(task, id)).toBe(1_700_000_060_000);
  });

  it("lets the steps beside it be recorded first, and takes their time off its own", async () => {
    const slow = gate();
    const { ran, clock, queue, settle, start } = stage(async ({ step }, ran) => {
      ran.push("begin");
      await Promise.all([
        step.sleep("pause", "1h"),
        (async () => {
          await step.run("slow", async () => (await slow.promise, ran.push("slow")));
          await step.run("next", () => ran.push("next"));
        })(),
      ]);
      return "done";
    });
    const id = await start();
    await clock.advance("10m");
    expect((await queue.status(id)).state).toBe("running");
    slow.open();
    await settle();
    await clock.advance(0);
    expect(ran).toEqual(["begin", "slow", "next"]);
    expect(await queue.status(id)).toMatchObject({
      state: "scheduled",
      dueAt: 1_700_000_000_000 + 3_600_000,
    });
    await clock.advance("50m");
    expect(ran).toEqual(["begin", "slow", "next", "begin"]);
    expect(await queue.wait(task, id)).toBe("done");
  });

  it("that ends while another step runs goes on at once", async () => {
    const slow = gate();
    const { ran, clock, start } = stage(async ({ step }, ran) => {
      await Promise.all([
        step.sleep("pause", "1m").then(() => step.run("after", () => ran.push("after"))),
        step.run("slow", () => slow.promise),
      ]);
    });
    await start();
    await clock.advance("1m");
    expect(ran).toEqual(["after"]);
    slow.open();
  });

  it("tells what was left beside it that is no step, by the signal", async () => {
    const reasons: unknown[] = [];
    const { settle, start } = stage(async ({ step, signal, throwIfAborted }) => {
      const beside = new Promise((_, reject) => {
        signal.addEventListener("abort", () => {
          reasons.push(signal.reason);
          reject(signal.reason as Error);
        });
      });
      try {
        await Promise.race([beside, step.sleep("pause", "1h")]);
      } catch {
        // Whoever goes on all the same does not come past a step.
        await step.run("late", () => reasons.push("late"));
        throwIfAborted();
      }
    });
    await start();
    await settle();
    await settle();
    expect(reasons).toMatchObject([{ code: "TASK_SUSPENDED" }]);
  });

  it("leaves a handler behind that the garbage collector takes", async () => {
    const held: WeakRef<object>[] = [];
    const { clock, settle, start } = stage(async ({ step }) => {
      const thing = { large: new Uint8Array(1_000) };
      held.push(new WeakRef(thing));
      await step.sleep("pause", "1h");
      return thing.large.length;
    });
    await start();
    await settle();
    await clock.advance(10);
    for (let turn = 0; turn < 5; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      globalThis.gc?.();
    }
    expect(globalThis.gc).toBeTypeOf("function");
    expect(held.map((one) => one.deref())).toEqual([undefined]);
  });

  it("ends with its reason when the run is told to stop before it is over", async () => {
    const errors: unknown[] = [];
    const slow = gate();
    const { settle, queue, start } = stage(async ({ step }) => {
      void step.run("slow", () => slow.promise);
      await step.sleep("pause", "1h").catch((error: unknown) => void errors.push(error));
    });
    const id = await start();
    await settle();
    await queue.cancel(id, "enough");
    await settle();
    expect(errors).toMatchObject([{ code: "TASK_CANCELLED" }]);
    slow.open();
  });
});

describe("a wait for an event", () => {
  it("gives its slot back until the task is told of it, and answers its value", async () => {
    const { ran, clock, queue, settle, working, start } = stage(async ({ step }, ran) => {
      ran.push("begin");
      return step.waitFor("paid");
    });
    const id = await start();
    await settle();
    expect(await queue.status(id)).toMatchObject({ state: "waiting", events: ["event:paid"] });
    expect(working.running).toBe(0);
    await clock.advance("1d");
    expect(await queue.signal(id, "paid", { amount: 5 })).toBe("delivered");
    await settle();
    expect(await queue.wait(task, id)).toEqual({ amount: 5 });
    expect(ran).toEqual(["begin", "begin"]);
  });

  it("does not lose an event that came before: while it was queued, or while its handler ran", async () => {
    const before = gate();
    const { clock, queue, settle, start } = stage(async ({ step }) => {
      await step.run("a", () => before.promise);
      return [await step.waitFor("one"), await step.waitFor("two"), await step.waitFor("one")];
    });
    const id = await start();
    expect(await queue.signal(id, "one", 1)).toBe("delivered");
    await settle();
    expect(await queue.signal(id, "two", 2)).toBe("delivered");
    before.open();
    await clock.advance(10);
    expect(await queue.wait(task, id)).toEqual([1, 2, 1]);
  });

  it("answers undefined when its time is over first, and does so for ever", async () => {
    const { ran, clock, queue, settle, start } = stage(async ({ step, attempt }, ran) => {
      const value = await step.waitFor("paid", { timeout: "1h" });
      ran.push(String(value));
      if (attempt === 1) throw new Error("once");
      return [value, await step.waitFor("paid")];
    });
    const id = await start();
    await clock.advance("1h");
    expect(ran).toEqual(["undefined"]);
    expect(await queue.signal(id, "paid", "late")).toBe("delivered");
    await clock.advance("1s");
    await settle();
    // The first wait is over; the second is another.
    expect(await queue.wait(task, id)).toEqual([null, "late"]);
    expect(ran).toEqual(["undefined", "undefined"]);
  });

  it("takes an event that came in time, also when the task comes back too late", async () => {
    const { clock, queue, settle, working, start } = stage(({ step }) =>
      step.waitFor("paid", { timeout: "1h" }),
    );
    const id = await start();
    await settle();
    working.pause();
    await clock.advance("30m");
    await queue.signal(id, "paid", "in time");
    await clock.advance("2h");
    working.resume();
    await clock.advance("1m");
    expect(await queue.wait(task, id)).toBe("in time");
  });

  it("hears of an event in time while other steps of its run go on", async () => {
    const slow = gate();
    const { clock, queue, settle, start } = stage(async ({ step }) => {
      const [value] = await Promise.all([
        step.waitFor("paid", { timeout: "1m" }),
        step.run("slow", () => slow.promise),
      ]);
      return value;
    });
    const id = await start();
    await settle();
    await queue.signal(id, "paid", "in time");
    await clock.advance("2m");
    slow.open();
    await clock.advance("2s");
    expect(await queue.wait(task, id)).toBe("in time");
  });

  it("throws when its time is over, if it is told to, and that is for good", async () => {
    const { clock, queue, start } = stage(({ step }) =>
      step.waitFor("paid", { timeout: "1m", onTimeout: "throw" }),
    );
    const id = await start();
    await clock.advance("1m");
    expect(await queue.status(id)).toMatchObject({
      state: "failed",
      attempt: 1,
      error: { code: "EVENT_TIMEOUT" },
    });
  });

  it("checks the value by a schema", async () => {
    const { settle, queue, start } = stage(({ step }) => step.waitFor("paid", { schema: z.number() }));
    const [good, bad] = [await start(), await start()];
    await queue.signal(good, "paid", 7);
    await queue.signal(bad, "paid", "seven");
    await settle();
    await settle();
    expect(await queue.wait(task, good)).toBe(7);
    expect(await queue.status(bad)).toMatchObject({ state: "failed", error: { code: "INVALID_PAYLOAD" } });
  });

  it("of several at a time hears of whichever comes first, at once", async () => {
    const { queue, settle, start } = stage(({ step }) =>
      Promise.race([step.waitFor("yes"), step.waitFor("no")]),
    );
    const id = await start();
    await settle();
    expect(await queue.status(id)).toMatchObject({ state: "waiting", events: ["event:yes", "event:no"] });
    await queue.signal(id, "no", "no");
    await settle();
    expect(await queue.wait(task, id)).toBe("no");
  });
});

describe("telling a task of an event", () => {
  it("says when it knows of it already, when it has ended, and when there is none", async () => {
    const { queue, settle, start } = stage(({ step }) => step.waitFor("paid"));
    const id = await start();
    expect(await queue.signal(id, "paid")).toBe("delivered");
    expect(await queue.signal(id, "paid", "again")).toBe("duplicate");
    await settle();
    expect(await queue.wait(task, id)).toBe(null);
    expect(await queue.signal(id, "other")).toBe("ended");
    expect(await rejection(queue.signal("nobody", "paid"))).toBeInstanceOf(TaskNotFoundError);
    await expect(queue.signal(id, "a b")).rejects.toMatchObject({ code: "INVALID_OPTION" });
  });
});

describe("telling a task of an event over HTTP", () => {
  it("is for the events that are named, and for nothing else", async () => {
    const { queue, settle, start } = stage(({ step }) => step.waitFor("paid"));
    const api = taskApi({ queue, signals: ["paid"] });
    const id = await start();
    const post = async (
      path: string,
      body: unknown = { amount: 5 },
      method: string = "POST",
    ): Promise<Response> =>
      api(
        new Request(`http://localhost/tasks/${path}`, {
          method,
          ...(method === "POST" ? { body: JSON.stringify(body) } : {}),
          headers: { "content-type": "application/json" },
        }),
      );
    expect((await post(`${id}/events/other`)).status).toBe(404);
    expect((await post(`${id}/events/paid`, undefined, "PUT")).status).toBe(405);
    expect((await post("nobody/events/paid")).status).toBe(404);
    const told = await post(`${id}/events/paid`);
    expect(told.status).toBe(202);
    expect(await told.json()).toMatchObject({ id, done: false });
    expect((await post(`${id}/events/paid`, "again")).status).toBe(200);
    await settle();
    expect(await queue.wait(task, id)).toEqual({ amount: 5 });
    expect((await post(`${id}/events/paid`)).status).toBe(409);
    expect(() => taskApi({ queue, signals: ["a b"] })).toThrow(/event/);
  });

  it("is for nobody unless it is asked for", async () => {
    const { queue, start } = stage(({ step }) => step.waitFor("paid"));
    const id = await start();
    const request = new Request(`http://localhost/tasks/${id}/events/paid`, { method: "POST", body: "1" });
    expect((await taskApi({ queue })(request)).status).toBe(404);
  });
});

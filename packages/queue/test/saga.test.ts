import { constant } from "@holdfast/core";
import type { SagaOptions, TaskContext } from "@holdfast/queue";
import { defineTask, handle, PermanentError } from "@holdfast/queue";
import { describe, expect, it } from "vitest";
import { bench, closed, gate, rejection } from "./bench.ts";

const order = defineTask<string, string>({
  name: "order",
  attempts: 2,
  backoff: constant("1s"),
  timeout: "1m",
});

interface World {
  /** What was done and undone. */
  readonly log: string[];
  /** What a step or a compensation is to do: throw, or wait. */
  readonly does: Map<string, (times: number) => unknown>;
}

/** An order of three steps. */
function buy(
  { step }: TaskContext<string>,
  { log, does }: World,
  options: SagaOptions = {},
  pivot?: string,
): Promise<string> {
  const times = new Map<string, number>();
  const act = async (what: string): Promise<string> => {
    times.set(what, (times.get(what) ?? 0) + 1);
    log.push(what);
    await does.get(what)?.(log.filter((one) => one === what).length);
    return `${what}ed`;
  };
  return step.saga(
    "order",
    async (saga) => {
      for (const name of ["charge", "reserve", "ship"])
        await saga.run(name, () => act(name), {
          compensate: (outcome) => act(`undo ${name}${outcome === undefined ? "?" : ""}`),
          pivot: name === pivot,
        });
      return "bought";
    },
    options,
  );
}

function stage(handler?: (context: TaskContext<string>, world: World) => unknown, options?: SagaOptions) {
  const world: World = { log: [], does: new Map() };
  const at = bench();
  const run = handler ?? ((context: TaskContext<string>) => buy(context, world, options));
  const work = () => at.work([handle(order, (context) => run(context, world))], { lease: "10s" });
  const working = work();
  return {
    ...at,
    ...world,
    working,
    again: work,
    start: async () => (await at.queue.enqueue(order, "in")).id,
  };
}

/** Fails for good. */
const never = (): never => {
  throw new PermanentError("sold out", { code: "SOLD_OUT" });
};
/** Fails as often as that. */
const fails = (most: number) => (times: number) => {
  if (times <= most) throw Object.assign(new Error("down"), { code: "DOWN" });
};

describe("a saga", () => {
  it("that can be done is done, once, and answers what its body answers", async () => {
    const at = stage(async (context, world) => {
      const answer = await buy(context, world);
      if (context.attempt === 1) throw new Error("once, behind it");
      return answer;
    });
    const id = await at.start();
    await at.clock.advance("1s");
    expect(await at.queue.wait(order, id)).toBe("bought");
    expect(at.log).toEqual(["charge", "reserve", "ship"]);
  });

  it("goes on forward where it was when a step fails and there is another try", async () => {
    const at = stage();
    at.does.set("reserve", fails(1));
    const id = await at.start();
    await at.clock.advance("1s");
    expect(await at.queue.wait(order, id)).toBe("bought");
    expect(at.log).toEqual(["charge", "reserve", "reserve", "ship"]);
  });

  it("is undone in reverse order when a step fails for good, the step itself without an outcome", async () => {
    const at = stage();
    at.does.set("ship", never);
    const id = await at.start();
    await at.settle();
    expect(at.log).toEqual(["charge", "reserve", "ship", "undo ship?", "undo reserve", "undo charge"]);
    expect(await at.queue.status(id)).toMatchObject({
      state: "failed",
      attempt: 1,
      error: {
        code: "SAGA_COMPENSATED",
        message: `saga "order" of task ${id} was undone: SOLD_OUT: sold out`,
      },
    });
  });

  it("registers each compensation before its step runs", async () => {
    const at = stage();
    const seen: (readonly string[])[] = [];
    const id = "mine";
    for (const name of ["charge", "reserve"])
      at.does.set(name, async () => {
        seen.push((await at.store.checkpoints("bench", id)).map((one) => one.name));
      });
    await at.queue.enqueue(order, "in", { id });
    await at.settle();
    expect(seen).toEqual([["begun:order:charge"], ["begun:order:charge", "charge", "begun:order:reserve"]]);
  });

  it("is undone in the same run when its last try fails, so that no task just dies", async () => {
    const at = stage();
    at.does.set("reserve", fails(9));
    const id = await at.start();
    await at.clock.advance("1s");
    expect(at.log).toEqual(["charge", "reserve", "reserve", "undo reserve?", "undo charge"]);
    expect(await at.queue.status(id)).toMatchObject({
      state: "failed",
      attempt: 2,
      error: { code: "SAGA_COMPENSATED" },
    });
  });

  it("is undone by another run, which uses up no try, when its last one is out of time", async () => {
    const at = stage();
    at.does.set("reserve", (times) => (times <= 2 ? new Promise(() => {}) : undefined));
    const id = await at.start();
    await at.clock.advance("5m");
    expect(at.log).toEqual(["charge", "reserve", "reserve", "undo reserve?", "undo charge"]);
    expect(await at.queue.status(id)).toMatchObject({
      state: "failed",
      attempt: 2,
      error: { code: "SAGA_COMPENSATED", message: expect.stringContaining("TIMEOUT") as string },
    });
  });

  it("leaves it to its handler what a saga that was undone means", async () => {
    const at = stage(async (context, world) => {
      const error = await rejection(buy(context, world));
      return context.step.run("tell", () => error.code);
    });
    at.does.set("ship", never);
    const id = await at.start();
    await at.settle();
    expect(await at.queue.wait(order, id)).toBe("SAGA_COMPENSATED");
  });

  it("stays undone when its task is redriven", async () => {
    const at = stage();
    at.does.set("ship", never);
    const id = await at.start();
    await at.settle();
    const log = [...at.log];
    at.does.clear();
    await at.queue.redrive(id);
    await at.settle();
    expect(at.log).toEqual(log);
    expect(await at.queue.status(id)).toMatchObject({ state: "failed", error: { code: "SAGA_COMPENSATED" } });
  });

  it("is undone step by step, each once, also when the worker is lost between any two writes", async () => {
    let losses = 0;
    for (let lostAfter = 0; losses === lostAfter; lostAfter += 1) {
      const at = stage();
      at.does.set("ship", never);
      const { checkpoint, renew } = at.store;
      let made = 0;
      let isLost = false;
      // The worker is gone after so many writes: nothing it says comes through any more.
      at.store.checkpoint = (...args) => {
        isLost ||= made === lostAfter;
        if (isLost && args[1].fence === 1) return new Promise(() => {});
        made += 1;
        return checkpoint.apply(at.store, args);
      };
      at.store.renew = (...args) => (isLost ? Promise.resolve([]) : renew.apply(at.store, args));
      const id = await at.start();
      await at.clock.advance("5s");
      at.again();
      await at.clock.advance("1m");
      if ((await at.queue.status(id)).leaseLosses > 0) losses += 1;
      const undone = at.log.filter((one) => one.startsWith("undo")).map((one) => one.replace("?", ""));
      const inOrder = ["undo ship", "undo reserve", "undo charge"];
      const places = undone.map((one) => inOrder.indexOf(one));
      const note = `lost after ${lostAfter} writes: ${at.log.join()}`;
      expect(places, note).toEqual(places.toSorted((x, y) => x - y));
      expect(new Set(undone).size, note).toBe(3);
      // What was cut is done at most once more.
      expect(at.log.length, note).toBeLessThanOrEqual(7);
      expect(await at.queue.status(id), note).toMatchObject({ error: { code: "SAGA_COMPENSATED" } });
    }
    expect(losses).toBeGreaterThan(8);
  });
});

describe("a compensation", () => {
  it("that fails is tried again after the task's backoff, without a slot, until it is done", async () => {
    const at = bench();
    const world: World = { log: [], does: new Map() };
    const slow = defineTask<string, string>({ name: "slow", attempts: 1, backoff: constant("1m") });
    const working = at.work([handle(slow, (context) => buy(context, world))]);
    world.does.set("ship", never).set("undo reserve", fails(2));
    const { id } = await at.queue.enqueue(slow, "in");
    await at.settle();
    await at.settle();
    expect(world.log.slice(3)).toEqual(["undo ship?", "undo reserve"]);
    expect(working.running).toBe(0);
    expect(await at.queue.status(id)).toMatchObject({ state: "scheduled", attempt: 1 });
    await at.clock.advance("2m");
    expect(world.log.slice(3)).toEqual([
      "undo ship?",
      "undo reserve",
      "undo reserve",
      "undo reserve",
      "undo charge",
    ]);
    expect(await at.queue.status(id)).toMatchObject({ error: { code: "SAGA_COMPENSATED" } });
  });

  it("that fails for good parks its task, naming what is open, and no handler can catch that", async () => {
    const at = stage((context, world) => buy(context, world).catch(() => "all is well"));
    at.does.set("ship", never).set("undo reserve", never);
    const id = await at.start();
    await at.settle();
    expect(at.log.slice(3)).toEqual(["undo ship?", "undo reserve"]);
    expect(await at.queue.status(id)).toMatchObject({
      state: "failed",
      error: {
        code: "SAGA_PARKED",
        message: `saga "order" of task ${id} is parked, to be undone: reserve, charge. "reserve": sold out`,
      },
    });
  });

  it("goes on where it was when its parked task is redriven, and not forward", async () => {
    const at = stage();
    at.does.set("ship", never).set("undo reserve", never);
    const id = await at.start();
    await at.settle();
    at.does.clear();
    await at.queue.redrive(id);
    await at.settle();
    expect(at.log.slice(3)).toEqual(["undo ship?", "undo reserve", "undo reserve", "undo charge"]);
    expect(await at.queue.status(id)).toMatchObject({ error: { code: "SAGA_COMPENSATED" } });
  });

  it("is parked when its tries are used up, and has them all again when it is redriven", async () => {
    const at = stage(undefined, { compensationTries: 3 });
    at.does.set("ship", never).set("undo reserve", fails(4));
    const id = await at.start();
    await at.clock.advance("1h");
    expect(await at.queue.status(id)).toMatchObject({ error: { code: "SAGA_PARKED" } });
    expect(at.log.filter((one) => one === "undo reserve")).toHaveLength(3);
    await at.queue.redrive(id);
    await at.clock.advance("1h");
    expect(at.log.filter((one) => one === "undo reserve")).toHaveLength(5);
    expect(await at.queue.status(id)).toMatchObject({ error: { code: "SAGA_COMPENSATED" } });
  });

  it("that takes too long is cut by the run's timeout, counts as a try, and is tried again", async () => {
    const at = stage(undefined, { compensationTries: 3 });
    at.does.set("ship", never).set("undo reserve", () => new Promise(() => {}));
    const id = await at.start();
    await at.clock.advance("10m");
    expect(at.log.filter((one) => one === "undo reserve")).toHaveLength(3);
    expect(await at.queue.status(id)).toMatchObject({ state: "failed", error: { code: "SAGA_PARKED" } });
  });

  it("is told why, by what key, which try it is, and under which fence", async () => {
    const told: unknown[] = [];
    const at = stage(({ step }) =>
      step.saga("s", async (saga) => {
        await saga.run("a", () => ({ at: new Date(0) }), {
          compensate: (outcome, { idempotencyKey, reason, attempt, fence, signal }) => {
            told.push([outcome, idempotencyKey, reason, attempt, fence > 0, signal.aborted]);
            if (attempt === 1) throw new Error("once");
          },
        });
        never();
      }),
    );
    const id = await at.start();
    await at.clock.advance("2s");
    const outcome = { at: "1970-01-01T00:00:00.000Z" };
    expect(told).toEqual([
      [outcome, `${id}/undo:a`, "SOLD_OUT", 1, true, false],
      [outcome, `${id}/undo:a`, "SOLD_OUT", 2, true, false],
    ]);
  });

  it("of a step that the code does not come to any more parks the task instead of skipping it", async () => {
    let isOld = true;
    const undone: string[] = [];
    const at = stage(({ step, attempt }) =>
      step.saga(
        "s",
        async (saga) => {
          const names = isOld ? ["a", "b"] : ["a"];
          for (const name of names) await saga.run(name, () => 1, { compensate: () => undone.push(name) });
          if (attempt === 1) throw new Error("once");
          never();
        },
        { compensationTries: 2 },
      ),
    );
    const id = await at.start();
    await at.settle();
    isOld = false;
    await at.clock.advance("10m");
    expect(undone).toEqual([]);
    const status = await at.queue.status(id);
    expect(status).toMatchObject({ state: "failed", error: { code: "SAGA_PARKED" } });
    expect((status as { error: { message: string } }).error.message).toMatch(
      /to be undone: b, a\. "b": .* step "b"/,
    );
    isOld = true;
    await at.queue.redrive(id);
    await at.clock.advance("1m");
    expect(undone).toEqual(["b", "a"]);
  });
});

describe("steps of a saga that run at a time", () => {
  it("are undone when they have all ended, in the reverse of the order in which they began", async () => {
    const log: string[] = [];
    const slow = gate();
    const at = stage(({ step }) =>
      step.saga("s", async (saga) => {
        const done = (name: string, fn: () => unknown) =>
          saga.run(name, fn, { compensate: (outcome) => log.push(`undo ${name} ${String(outcome)}`) });
        await Promise.all([
          done("slow", async () => (await slow.promise, log.push("slow"), "slow")),
          done("bad", never),
        ]);
      }),
    );
    const id = await at.start();
    await at.settle();
    expect(log).toEqual([]);
    slow.open();
    await at.settle();
    expect(log).toEqual(["slow", "undo bad undefined", "undo slow slow"]);
    expect(await at.queue.status(id)).toMatchObject({ error: { code: "SAGA_COMPENSATED" } });
  });

  it("have their signals aborted when one of them fails for good, and hold nothing up for longer than the grace", async () => {
    const log: string[] = [];
    const begun = gate();
    const at = stage(({ step }) =>
      step.saga("s", async (saga) => {
        const undo = { compensate: () => log.push("undo") };
        const stuck = saga.run(
          "stuck",
          ({ signal }) => (signal.addEventListener("abort", () => log.push("told")), new Promise(() => {})),
          undo,
        );
        await Promise.all([stuck, saga.run("bad", () => begun.promise.then(never))]);
      }),
    );
    await at.start();
    await at.settle();
    begun.open();
    await at.settle();
    expect(log).toEqual(["told"]);
    await at.clock.advance("5s");
    expect(log).toEqual(["told", "undo"]);
  });
});

describe("a pivot", () => {
  it("is the point of no return: behind it there are only tries", async () => {
    const at = stage((context, world) => buy(context, world, { deadline: "1h" }, "reserve"));
    at.does.set("ship", fails(2));
    const id = await at.start();
    await at.clock.advance("1m");
    expect(at.log).toEqual(["charge", "reserve", "ship", "ship"]);
    expect(await at.queue.status(id)).toMatchObject({ state: "failed", attempt: 2, error: { code: "DOWN" } });
    // Past the deadline too.
    await at.clock.advance("2h");
    await at.queue.redrive(id);
    await at.settle();
    expect(await at.queue.wait(order, id)).toBe("bought");
    expect(at.log).toEqual(["charge", "reserve", "ship", "ship", "ship"]);
  });

  it("that fails itself is not passed", async () => {
    const at = stage((context, world) => buy(context, world, {}, "reserve"));
    at.does.set("reserve", never);
    await at.start();
    await at.settle();
    expect(at.log).toEqual(["charge", "reserve", "undo reserve?", "undo charge"]);
  });
});

describe("a deadline", () => {
  it("undoes the saga when it passes in the middle of a step, which is told to stop", async () => {
    const at = stage(undefined, { deadline: "10s" });
    at.does.set("reserve", () => new Promise(() => {}));
    const id = await at.start();
    await at.clock.advance("9s");
    expect(at.log).toEqual(["charge", "reserve"]);
    await at.clock.advance("6s");
    await at.settle();
    expect(at.log).toEqual(["charge", "reserve", "undo reserve?", "undo charge"]);
    expect(await at.queue.status(id)).toMatchObject({
      state: "failed",
      attempt: 1,
      error: { message: expect.stringContaining("SAGA_DEADLINE") as string },
    });
  });

  it("undoes the saga when it passes in a wait", async () => {
    const undone: string[] = [];
    const at = stage(({ step }) =>
      step.saga(
        "s",
        async (saga) => {
          await saga.run("debit", () => 1, { compensate: () => undone.push("debit") });
          await step.waitFor("credited");
          await saga.run("notify", () => undone.push("never"));
        },
        { deadline: "1d" },
      ),
    );
    const id = await at.start();
    await at.settle();
    expect(await at.queue.status(id)).toMatchObject({ state: "waiting", events: ["event:credited"] });
    await at.clock.advance("23h");
    expect(undone).toEqual([]);
    await at.clock.advance("1h");
    expect(undone).toEqual(["debit"]);
    expect(await at.queue.status(id)).toMatchObject({ error: { code: "SAGA_COMPENSATED" } });
  });

  it("survives restarts: it counts from when the saga was first reached", async () => {
    const at = stage(undefined, { deadline: "1m" });
    at.does.set("reserve", fails(1));
    const started = at.start();
    await at.settle();
    await closed(at.working, at.clock);
    await at.clock.advance("2m");
    at.again();
    await at.clock.advance("1s");
    expect(at.log).toEqual(["charge", "reserve", "undo reserve?", "undo charge"]);
    expect(await at.queue.status(await started)).toMatchObject({ error: { code: "SAGA_COMPENSATED" } });
  });

  it("that has passed does no harm to a saga that is done", async () => {
    const at = stage(async (context, world) => {
      const answer = await buy(context, world, { deadline: "10s" });
      await context.step.sleep("later", "1h");
      return answer;
    });
    const id = await at.start();
    await at.clock.advance("1h");
    expect(await at.queue.wait(order, id)).toBe("bought");
  });
});

describe("an event that cancels", () => {
  it.each([
    ["a sleep", ({ step }: TaskContext<string>) => step.sleep("pause", "1h")],
    ["a wait for another event", ({ step }: TaskContext<string>) => step.waitFor("other")],
  ])("undoes the saga in %s", async (_, wait) => {
    const undone: string[] = [];
    const at = stage((context) =>
      context.step.saga(
        "s",
        async (saga) => {
          await saga.run("a", () => 1, { compensate: () => undone.push("a") });
          await wait(context);
        },
        { cancelOn: "cancel" },
      ),
    );
    const id = await at.start();
    await at.settle();
    await at.queue.signal(id, "cancel");
    await at.clock.advance(10);
    expect(undone).toEqual(["a"]);
    expect(await at.queue.status(id)).toMatchObject({
      error: { message: expect.stringContaining("SAGA_CANCELLED") as string },
    });
  });

  it("undoes the saga before its next step, and is not heard behind the pivot", async () => {
    for (const pivot of [undefined, "charge"]) {
      const at = stage((context, world) => buy(context, world, { cancelOn: "cancel" }, pivot));
      const slow = gate();
      at.does.set("charge", () => slow.promise);
      const id = await at.start();
      await at.settle();
      await at.queue.signal(id, "cancel");
      slow.open();
      await at.settle();
      expect(at.log).toEqual(pivot === undefined ? ["charge", "undo charge"] : ["charge", "reserve", "ship"]);
    }
  });
});

describe("a handler", () => {
  it("that swallows what its saga is to be tried again for is tried again all the same", async () => {
    const at = stage((context, world) => buy(context, world).catch(() => "all is well"));
    at.does.set("reserve", fails(1));
    const id = await at.start();
    await at.settle();
    expect(await at.queue.status(id)).toMatchObject({ state: "scheduled", lastError: { code: "DOWN" } });
    await at.clock.advance("1s");
    expect(await at.queue.wait(order, id)).toBe("bought");
  });

  it("that does not wait for its saga is told so, and leaves nothing undone in the end", async () => {
    const at = stage((context, world) => {
      void buy(context, world);
      return "too early";
    });
    const id = await at.start();
    await at.clock.advance("1m");
    const { state, lastError } = await at.queue.status(id);
    expect([state, lastError?.code]).toEqual(["failed", "SAGA_OPEN"]);
  });

  it("that fails beside its open saga in its last try comes back to undo it", async () => {
    const slow = gate();
    const at = stage(async (context, world) => {
      await Promise.all([buy(context, world), context.step.run("beside", never)]);
    });
    at.does.set("reserve", (times) => (times === 1 ? slow.promise : undefined));
    const id = await at.start();
    await at.settle();
    slow.open();
    await at.clock.advance("1m");
    expect(at.log).toEqual(["charge", "undo charge"]);
    expect(await at.queue.status(id)).toMatchObject({ state: "failed" });
  });

  it("has one saga at a time", async () => {
    const at = stage(async ({ step }) => {
      const one = step.saga("one", () => step.sleep("pause", "500ms"));
      const error = await rejection(step.saga("two", () => 1));
      await one;
      return [error.code, await step.saga("two", () => 2)];
    });
    const id = await at.start();
    await at.clock.advance("1s");
    expect(await at.queue.wait(order, id)).toEqual(["INVALID_OPTION", 2]);
  });
});

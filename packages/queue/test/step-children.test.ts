import { constant } from "@holdfast/core";
import type { TaskContext, TaskHandler } from "@holdfast/queue";
import { defineTask, flow, handle, PermanentError } from "@holdfast/queue";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { bench, gate, rejection } from "./bench.ts";

const parent = defineTask<string, string>({ name: "parent", attempts: 3, backoff: constant("1s") });
const part = defineTask({
  name: "part",
  input: z.number(),
  output: z.number().transform(String),
  attempts: 1,
});

/** A worker for parents and their parts: a part answers ten times its input, and fails for 13. */
function stage(
  parentOf: (context: TaskContext<string>, ran: string[]) => unknown,
  options: { readonly concurrency?: number } = {},
) {
  const ran: string[] = [];
  const at = bench();
  const handlers: TaskHandler[] = [
    handle(parent, (context) => parentOf(context, ran)),
    handle(part, ({ input }) => {
      ran.push(`part ${input}`);
      if (input === 13) throw new PermanentError("unlucky", { code: "UNLUCKY" });
      return input * 10;
    }),
  ];
  const working = at.work(handlers, options);
  return { ...at, ran, working, start: async () => (await at.queue.enqueue(parent, "in")).id };
}

describe("children", () => {
  it("are spawned once, run beside, and are waited for without a slot", async () => {
    const at = stage(
      async ({ step, attempt }) => {
        const children = [];
        for (const n of [1, 2, 3]) children.push(await step.spawn("part", part, n));
        if (attempt === 1) throw new Error("once");
        const outcomes = await step.join("parts", children);
        return outcomes.map((one) => (one.state === "completed" ? one.result : one.state));
      },
      { concurrency: 1 },
    );
    const id = await at.start();
    await at.clock.advance("2s");
    expect(await at.queue.wait(parent, id)).toEqual(["10", "20", "30"]);
    expect(at.ran).toEqual(["part 1", "part 2", "part 3"]);
    const children = await at.store.children("bench", id);
    expect(children.map((child) => [child.id, child.parent])).toEqual([
      [`${id}:part`, id],
      [`${id}:part:2`, id],
      [`${id}:part:3`, id],
    ]);
    expect(await at.queue.status(id)).toMatchObject({ attempt: 2, leaseLosses: 0 });
  });

  it("answer for ever what became of them, also when they are forgotten", async () => {
    const short = defineTask<number, number, number>({ name: "short", keepFor: "1m", attempts: 1 });
    const at = bench();
    const ran: number[] = [];
    at.work([
      handle(short, ({ input }) => (ran.push(input), input)),
      handle(parent, async ({ step }) => {
        const child = await step.spawn("short", short, 7);
        const [first] = await step.join("joined", [child]);
        await step.sleep("pause", "1h");
        const [again] = await step.join("joined again", [
          await step.spawn("other", short, 8),
          child,
        ] as const);
        return [first, again];
      }),
    ]);
    const { id } = await at.queue.enqueue(parent, "in");
    await at.clock.advance("61m");
    const child = { id: `${id}:short`, state: "completed", result: 7 };
    const other = { id: `${id}:other`, state: "completed", result: 8 };
    expect(await at.queue.wait(parent, id)).toEqual([child, other]);
    expect(ran).toEqual([7, 8]);
    expect(await at.store.get("bench", [child.id])).toEqual([undefined]);
  });

  it("answer that they were forgotten when they were not waited for in time", async () => {
    const short = defineTask<number, number, number>({ name: "short", keepFor: "1m", attempts: 1 });
    const at = bench();
    at.work([
      handle(short, ({ input }) => input),
      handle(parent, async ({ step }) => {
        const child = await step.spawn("short", short, 7);
        await step.sleep("pause", "1h");
        return step.join("joined", [child]);
      }),
    ]);
    const { id } = await at.queue.enqueue(parent, "in");
    await at.clock.advance("61m");
    expect(await at.queue.wait(parent, id)).toEqual([{ id: `${id}:short`, state: "forgotten" }]);
  });

  it("that fail or are cancelled are outcomes, or an error if all must complete", async () => {
    const slow = gate();
    const at = stage(async ({ step }) => {
      const bad = await step.spawn("bad", part, 13);
      const late = await step.spawn("late", part, 1, { delay: "1h" });
      await step.run("slow", () => slow.promise);
      const outcomes = await step.join("parts", [bad, late]);
      const error = await rejection(step.join("strict", [bad], { mustComplete: true }));
      return [outcomes, error.code, error.message];
    });
    const id = await at.start();
    await at.settle();
    await at.queue.cancel(`${id}:late`, "not needed");
    slow.open();
    await at.settle();
    await at.clock.advance(1);
    expect(await at.queue.wait(parent, id)).toEqual([
      [
        { id: `${id}:bad`, state: "failed", error: { code: "UNLUCKY", message: "unlucky" } },
        { id: `${id}:late`, state: "cancelled", reason: "not needed" },
      ],
      "CHILD_FAILED",
      `child ${id}:bad has not completed: it failed with UNLUCKY: unlucky`,
    ]);
  });

  it("are cancelled with their parent", async () => {
    const at = stage(async ({ step }) => {
      await step.spawn("late", part, 1, { delay: "1h" });
      await step.children("all");
    });
    const id = await at.start();
    await at.settle();
    expect(await at.queue.status(id)).toMatchObject({ state: "waiting", children: true });
    await at.queue.cancel(id, "enough");
    expect(await at.queue.status(`${id}:late`)).toMatchObject({ state: "cancelled" });
  });

  it("of steps whose names are no IDs have digests for IDs, and are spawned once as well", async () => {
    const at = stage(async ({ step, attempt }) => {
      const child = await step.spawn("a part/of it", part, 4);
      if (attempt === 1) throw new Error("once");
      return [child.id, await step.children("all", { mustComplete: true })];
    });
    const id = await at.start();
    for (let turn = 0; turn < 10_000 && (await at.queue.status(id)).state !== "scheduled"; turn += 1)
      await new Promise((resolve) => setImmediate(resolve));
    await at.clock.advance("2s");
    const [child, outcomes] = (await at.queue.wait(parent, id)) as [string, unknown];
    expect(child).toMatch(/^child-[0-9a-f]{64}$/);
    expect(outcomes).toEqual([{ id: child, state: "completed", result: 40 }]);
    expect(at.ran).toEqual(["part 4"]);
  });

  it("are not somebody else's task that has the ID", async () => {
    const at = stage(({ step }) => step.spawn("part", part, 1));
    await at.queue.enqueue(part, 5, { id: "mine:part" });
    await at.queue.enqueue(parent, "in", { id: "mine" });
    await at.settle();
    expect(await at.queue.status("mine")).toMatchObject({ lastError: { code: "TASK_EXISTS" } });
  });

  it("may be added by others, to a task that is live", async () => {
    const { queue } = bench();
    const { id } = await queue.enqueue(parent, "in");
    const child = await queue.enqueue(part, 1, { parent: id });
    expect(await queue.status(child.id)).toMatchObject({ parent: id });
    await queue.cancel(id);
    await expect(queue.enqueue(part, 1, { parent: id })).rejects.toMatchObject({
      code: "NO_PARENT",
      status: 409,
    });
  });
});

describe("a flow", () => {
  it("is added in one step, and each task of it begins when its children have ended", async () => {
    const at = stage(async ({ step, input }, ran) => {
      const all = await step.children("all");
      ran.push(input);
      return all.map((one) => (one.state === "completed" ? one.result : one.state));
    });
    const made = await at.queue.enqueueFlow(
      flow(parent, "root", {
        id: "root",
        children: [
          flow(part, 1),
          flow(parent, "middle", { id: "middle", children: [flow(part, 2), flow(part, 13)] }),
          flow(parent, "leaf"),
        ],
      }),
    );
    expect(made).toMatchObject({ id: "root", children: [{}, { id: "middle", children: [{}, {}] }, {}] });
    expect(await at.queue.status("root")).toMatchObject({ state: "waiting", children: true });
    await at.settle();
    await at.clock.advance(1);
    expect(await at.queue.wait(parent, "root")).toEqual([10, [20, "failed"], []]);
    expect(at.ran.slice(-2)).toEqual(["middle", "root"]);
    expect(at.ran.toSorted()).toEqual(["leaf", "middle", "part 1", "part 13", "part 2", "root"]);
  });

  it("is refused as a whole when it is too large, not valid, or does not fit the queue", async () => {
    const at = bench({ limit: 3 });
    const many = Array.from({ length: 1_000 }, (_, n) => flow(part, n));
    await expect(at.queue.enqueueFlow(flow(parent, "root", { children: many }))).rejects.toMatchObject({
      code: "INVALID_OPTION",
    });
    const bad = flow(parent, "root", { children: [flow(part, "no number" as never)] });
    await expect(at.queue.enqueueFlow(bad)).rejects.toMatchObject({ code: "INVALID_PAYLOAD" });
    const large = flow(parent, "root", { children: [flow(part, 1), flow(part, 2), flow(part, 3)] });
    await expect(at.queue.enqueueFlow(large)).rejects.toMatchObject({ code: "QUEUE_FULL" });
    expect(await at.queue.stats()).toMatchObject({ ready: 0, waiting: 0, scheduled: 0 });
  });

  it("keeps out those whose ID is taken, and says so", async () => {
    const at = bench();
    await at.queue.enqueue(part, 1, { id: "taken" });
    const root = flow(parent, "root", {
      id: "root",
      children: [flow(part, 1, { id: "taken" }), flow(part, 2)],
    });
    await expect(at.queue.enqueueFlow(root)).rejects.toMatchObject({ code: "TASK_EXISTS", taskId: "taken" });
    expect(await at.store.children("bench", "root")).toHaveLength(1);
  });
});

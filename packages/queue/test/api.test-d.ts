import type { IncomingMessage } from "node:http";
import type {
  Enqueued,
  Queue,
  QueueStore,
  TaskDefinition,
  TaskHandler,
  TaskStatus,
  Worker,
  WriteOutcome,
} from "@holdfast/queue";
import { defineTask, flow, handle, memoryStore, queue, worker } from "@holdfast/queue";
import type { Handler } from "@holdfast/core";
import type { ConformanceRunner } from "@holdfast/core/testing";
import { fileBlobs } from "@holdfast/queue/blobs";
import { encrypted, offloaded } from "@holdfast/queue/codec";
import type { Scheduler } from "@holdfast/queue/cron";
import { schedule, scheduler } from "@holdfast/queue/cron";
import { taskApi } from "@holdfast/queue/http";
import { taskTracing } from "@holdfast/queue/otel";
import type { QueueStoreSubject } from "@holdfast/queue/testing";
import { queueStoreConformance } from "@holdfast/queue/testing";
import { serveTaskSocket } from "@holdfast/queue/ws";
import { describe, expectTypeOf, it } from "vitest";
import type { WebSocket } from "ws";
import { z } from "zod";

const tasks: Queue = queue({ name: "q", store: memoryStore() });
const resize = defineTask({
  name: "resize",
  input: z.object({ width: z.coerce.number<string>(), name: z.string().default("cat") }),
  output: z.object({ bytes: z.number().transform(String) }),
});
const plain = defineTask<{ n: number }, { n: number }, string>({ name: "plain" });

describe("a task", () => {
  it("takes its types from its schemas: what goes in, what the handler gets, returns, and what comes out", () => {
    expectTypeOf(resize).toEqualTypeOf<
      TaskDefinition<
        { width: string; name?: string | undefined },
        { width: number; name: string },
        { bytes: number },
        { bytes: string }
      >
    >();
    handle(resize, ({ input }) => {
      expectTypeOf(input).toEqualTypeOf<{ width: number; name: string }>();
      return { bytes: input.width };
    });
    expectTypeOf(tasks.wait(resize, "id")).resolves.toEqualTypeOf<{ bytes: string }>();
  });

  it("takes its types from type arguments without schemas", () => {
    expectTypeOf(tasks.wait(plain, "id")).resolves.toBeString();
    handle(plain, ({ input }) => `${input.n}`);
    handle(plain, async ({ input }) => `${input.n}`);
  });

  it("refuses wrong inputs and wrong results", () => {
    expectTypeOf(tasks.enqueue(plain, { n: 1 })).resolves.toEqualTypeOf<Enqueued>();
    // @ts-expect-error a string is no number
    void tasks.enqueue(plain, { n: "1" });
    // @ts-expect-error there must be an input
    void tasks.enqueue(resize, {});
    // @ts-expect-error the result must be a string
    handle(plain, ({ input }) => input.n);
    // @ts-expect-error neither must a promise of something else do
    handle(resize, async () => ({ bytes: "1" }));
    void tasks.enqueueMany(plain, [{ input: { n: 1 }, delay: "2s" }]);
    // @ts-expect-error no duration
    void tasks.enqueueMany(plain, [{ input: { n: 1 }, delay: "soon" }]);
  });

  it("lets handlers of different tasks stand side by side", () => {
    const handlers = [handle(plain, () => ""), handle(resize, () => ({ bytes: 1 }))];
    expectTypeOf(handlers).toEqualTypeOf<TaskHandler[]>();
    expectTypeOf(worker(tasks, handlers)).toEqualTypeOf<Worker>();
  });
});

describe("what is asked of a queue", () => {
  it("is told apart by state", () => {
    const status = {} as TaskStatus;
    // @ts-expect-error not every task has failed
    expectTypeOf(status.error).toBeUndefined();
    if (status.state === "failed") expectTypeOf(status.error.code).toBeString();
    if (status.state === "running") expectTypeOf(status.leaseEndsAt).toBeNumber();
    if (status.state === "scheduled") expectTypeOf(status.dueAt).toBeNumber();
    const outcome = {} as WriteOutcome;
    if (!outcome.written && outcome.cause === "cancelled") expectTypeOf(outcome.reason).toBeString();
  });
});

describe("a schedule", () => {
  it("takes its input, or what makes it, from its task", () => {
    const schedules = [
      schedule({ key: "a", every: "5m", task: plain, input: { n: 1 } }),
      schedule({ key: "b", cron: "0 3 * * *", task: plain, input: (at) => ({ n: at.getTime() }) }),
    ];
    expectTypeOf(scheduler(tasks, schedules)).toEqualTypeOf<Scheduler>();
    // @ts-expect-error a string is no number
    schedule({ key: "c", every: "5m", task: plain, input: { n: "1" } });
    // @ts-expect-error not what the task takes
    schedule({ key: "d", every: "5m", task: plain, input: () => ({ n: "1" }) });
    // @ts-expect-error when?
    schedule({ key: "e", task: plain, input: { n: 1 } });
  });
});

describe("what is said of a task", () => {
  it("is a group by its key or with its limits, and a call's own options are no task's", () => {
    void tasks.enqueue(plain, { n: 1 }, { group: "g", tenant: "t", weight: 2, expiresIn: "5m" });
    const group = { key: "g", concurrency: 2, rate: { tasks: 10, per: "1m" } } as const;
    void tasks.enqueue(plain, { n: 1 }, { group, whenFull: "wait", maxWait: "5s" });
    // @ts-expect-error a group has a key
    void tasks.enqueue(plain, { n: 1 }, { group: { concurrency: 2 } });
    // @ts-expect-error one waits for all of them or for none
    void tasks.enqueueMany(plain, [{ input: { n: 1 }, whenFull: "wait" }]);
    expectTypeOf(queue).toBeCallableWith({
      name: "q",
      store: memoryStore(),
      codecs: [encrypted({ current: "k", keys: {} }), offloaded({ store: fileBlobs({ folder: "f" }) })],
      tracing: taskTracing(),
    });
  });
});

describe("the subpaths", () => {
  it("fit what they are used with", () => {
    expectTypeOf(taskApi({ queue: tasks, task: plain })).toEqualTypeOf<Handler>();
    expectTypeOf(serveTaskSocket).toBeCallableWith({} as WebSocket, {
      queue: tasks,
      request: {} as IncomingMessage,
    });
    expectTypeOf<QueueStoreSubject["make"]>().returns.toEqualTypeOf<QueueStore | Promise<QueueStore>>();
    expectTypeOf<{ describe: typeof describe; it: typeof it }>().toExtend<ConformanceRunner>();
    expectTypeOf(queueStoreConformance).returns.toBeVoid();
  });
});

describe("steps", () => {
  it("answer what their function does, or what its schema makes of it", () => {
    handle(plain, async ({ step }) => {
      expectTypeOf(step.run("a", () => 1)).resolves.toBeNumber();
      expectTypeOf(step.run("a", async () => ({ n: "x" }), { input: 1 })).resolves.toEqualTypeOf<{
        n: string;
      }>();
      const output = z.object({ n: z.coerce.number<string>() });
      expectTypeOf(step.run("a", () => ({ n: "7" }), { output })).resolves.toEqualTypeOf<{ n: number }>();
      // @ts-expect-error the function must answer what the schema takes
      void step.run("a", () => ({ n: 7 }), { output });
      expectTypeOf(step.waitFor("paid")).resolves.toBeUnknown();
      expectTypeOf(step.waitFor<number>("paid")).resolves.toBeNumber();
      expectTypeOf(step.waitFor("paid", { schema: z.string() })).resolves.toBeString();
      expectTypeOf(step.waitFor<number>("paid", { timeout: "1h" })).resolves.toEqualTypeOf<
        number | undefined
      >();
      expectTypeOf(
        step.waitFor("paid", { schema: z.string(), timeout: "1h", onTimeout: "throw" }),
      ).resolves.toBeString();
      // @ts-expect-error no duration
      void step.sleep("pause", "soon");
      return "";
    });
    expectTypeOf(tasks.signal("id", "paid", 1)).resolves.toEqualTypeOf<"delivered" | "duplicate" | "ended">();
  });

  it("of a saga have compensations that take their outcome, if it is known", () => {
    handle(plain, async ({ step }) => {
      const booked = step.saga("book", async (saga) => {
        const n = await saga.run("a", () => 1, {
          compensate: (outcome, { idempotencyKey }) => {
            expectTypeOf(outcome).toEqualTypeOf<number | undefined>();
            expectTypeOf(idempotencyKey).toBeString();
          },
        });
        expectTypeOf(n).toBeNumber();
        return { n };
      });
      expectTypeOf(booked).resolves.toEqualTypeOf<{ n: number }>();
      return "";
    });
  });

  it("that spawn children know their inputs and their outcomes", () => {
    handle(plain, async ({ step }) => {
      const one = await step.spawn("one", resize, { width: "7" });
      // @ts-expect-error a number is no string
      void step.spawn("one", resize, { width: 7 });
      const [first, second] = await step.join("all", [one, await step.spawn("two", plain, { n: 1 })]);
      if (first.state === "completed") expectTypeOf(first.result).toEqualTypeOf<{ bytes: string }>();
      if (second.state === "completed") expectTypeOf(second.result).toBeString();
      if (second.state === "failed") expectTypeOf(second.error.code).toBeString();
      return "";
    });
    // @ts-expect-error an input of another task
    void tasks.enqueueFlow(flow(plain, { width: "7" }));
    void tasks.enqueueFlow(flow(plain, { n: 1 }, { children: [flow(resize, { width: "7" })] }));
  });
});

import { constant } from "@holdfast/core";
import type { Queue, Worker } from "@holdfast/queue";
import { defineTask, memoryStore, queue, worker } from "@holdfast/queue";
import type { ThreadHandlerOptions, ThreadTaskHandler } from "@holdfast/queue/threads";
import { threadHandler, threadWork } from "@holdfast/queue/threads";
import { afterEach, describe, expect, it } from "vitest";
import { rejection } from "./bench.ts";

interface Input {
  readonly do: string;
  readonly ms?: number;
  readonly length?: number;
}

const task = defineTask<Input>({ name: "threaded", attempts: 2, backoff: constant("10ms") });
const MODULE = new URL("./fixtures/thread-tasks.mjs", import.meta.url);

const closing: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of closing.splice(0).toReversed()) await one[Symbol.asyncDispose]();
});

function start(options: ThreadHandlerOptions = {}): {
  readonly tasks: Queue;
  readonly handler: ThreadTaskHandler;
  readonly working: Worker;
} {
  const tasks = queue({ name: "threads", store: memoryStore() });
  const handler = threadHandler(task, MODULE, { threads: 2, stopWithin: "200ms", ...options });
  const working = worker(tasks, [handler], { lease: "300ms", grace: "2s" });
  closing.push(handler, working);
  return { tasks, handler, working };
}

async function run(tasks: Queue, input: Input): Promise<unknown> {
  return tasks.wait(task, (await tasks.enqueue(task, input)).id);
}

async function untilRunning(tasks: Queue, id: string): Promise<void> {
  while ((await tasks.status(id)).state !== "running") await new Promise((resolve) => setTimeout(resolve, 5));
}

describe("tasks on threads", () => {
  it("are told who they are, report progress and lines, and use the threads that there are again", async () => {
    const { tasks, handler } = start();
    const { id } = await tasks.enqueue(task, { do: "tell" });
    const first = (await tasks.wait(task, id)) as { readonly threadId: number };
    expect(first).toMatchObject({ id, attempt: 1, hasFence: true });
    const told: unknown[] = [];
    for await (const event of tasks.events(id)) {
      if (event.type === "progress") told.push(event.value);
      if (event.type === "log") told.push(event.line);
    }
    expect(told).toEqual([50, "half way"]);
    expect(await run(tasks, { do: "tell" })).toMatchObject({ threadId: first.threadId });
    expect(handler.threads).toBe(1);
  });

  it("that burn the CPU for several leases lose none of them", async () => {
    const { tasks } = start();
    const { id } = await tasks.enqueue(task, { do: "burn", ms: 1_200 });
    expect(await tasks.wait(task, id)).toBe("burnt");
    expect(await tasks.status(id)).toMatchObject({ attempt: 1, leaseLosses: 0 });
  });

  it("are on no more threads than there may be, and all get their turn", async () => {
    const { tasks, handler } = start();
    const all = await tasks.enqueueMany(
      task,
      Array.from({ length: 10 }, () => ({ input: { do: "burn", ms: 20 } })),
    );
    for (const { id } of all) expect(await tasks.wait(task, id)).toBe("burnt");
    expect(handler.threads).toBe(2);
  });

  it("hand bytes over, in the result too", async () => {
    const { tasks } = start();
    const { bytes } = (await run(tasks, { do: "bytes", length: 100_000 })) as { readonly bytes: Uint8Array };
    expect([bytes.length, bytes[99_999]]).toEqual([100_000, 7]);
  });
});

describe("a task on a thread that fails", () => {
  it("is tried again on another one when its thread crashes", async () => {
    const { tasks, handler } = start();
    const { id } = await tasks.enqueue(task, { do: "crash" });
    expect(await tasks.wait(task, id)).toBe("well");
    const { attempt, lastError } = await tasks.status(id);
    expect({ attempt, lastError }).toEqual({
      attempt: 2,
      lastError: {
        code: "THREAD_CRASHED",
        message: 'the thread of task "threaded" has ended: it exited with code 7',
      },
    });
    expect(handler.threads).toBe(1);
  });

  it.each([
    ["throw", { attempt: 2, error: { code: "BROKEN", message: "broken" } }],
    ["give up", { attempt: 1, error: { code: "NO_USE", message: "no use" } }],
    ["function", { attempt: 1, error: { code: "UNSERIALIZABLE" } }],
  ])("keeps its code and whether that is for good: %s", async (what, expected) => {
    const { tasks } = start();
    const { id } = await tasks.enqueue(task, { do: what });
    await rejection(tasks.wait(task, id));
    expect(await tasks.status(id)).toMatchObject({ state: "failed", ...expected });
  });

  it("by eating all its memory dies alone", async () => {
    const { tasks } = start({ resourceLimits: { maxOldGenerationSizeMb: 30 } });
    const { id } = await tasks.enqueue(task, { do: "eat" });
    await rejection(tasks.wait(task, id));
    expect(await tasks.status(id)).toMatchObject({ error: { code: "THREAD_CRASHED" } });
    expect(await run(tasks, { do: "tell" })).toMatchObject({ attempt: 1 });
  });

  it("since there is no such module fails its tries", async () => {
    const tasks = queue({ name: "threads", store: memoryStore() });
    const handler = threadHandler(task, new URL("./fixtures/none.mjs", import.meta.url), { threads: 1 });
    closing.push(handler, worker(tasks, [handler]));
    const { id } = await tasks.enqueue(task, { do: "tell" });
    await rejection(tasks.wait(task, id));
    expect(await tasks.status(id)).toMatchObject({ attempt: 2, error: { code: "THREAD_CRASHED" } });
  });
});

describe("a task on a thread that is told to stop", () => {
  it("hears of it", async () => {
    const { tasks, handler } = start({ stopWithin: "10s" });
    const { id } = await tasks.enqueue(task, { do: "listen" });
    await untilRunning(tasks, id);
    await run(tasks, { do: "tell" });
    await tasks.cancel(id, "enough");
    // Its thread is free for the next two.
    await Promise.all([run(tasks, { do: "tell" }), run(tasks, { do: "tell" })]);
    expect(handler.threads).toBe(2);
  });

  it("and does not is ended with its thread", async () => {
    const { tasks, handler, working } = start({ threads: 1 });
    const { id } = await tasks.enqueue(task, { do: "forever" });
    await untilRunning(tasks, id);
    await tasks.cancel(id, "enough");
    expect(await run(tasks, { do: "tell" })).toMatchObject({ attempt: 1 });
    expect(handler.threads).toBe(1);
    expect(working.running).toBe(0);
  });

  it("by a worker that closes goes back to the queue", async () => {
    const { tasks, working } = start();
    const { id } = await tasks.enqueue(task, { do: "forever" });
    await untilRunning(tasks, id);
    expect(await working.close({ within: "2s" })).toEqual({ finished: 0, givenBack: 1 });
    expect(await tasks.status(id)).toMatchObject({ state: "ready", attempt: 1 });
  });
});

describe("a handler with threads", () => {
  it("refuses what is out of range, and to run tasks on the main thread", () => {
    expect(() => threadHandler(task, MODULE, { threads: 0 })).toThrow(/threads/);
    expect(() => threadHandler(task, "./work.js" as never)).toThrow(/URL/);
    expect(() => threadWork(task, () => 1)).toThrow(/thread of its own/);
  });

  it("that is closed runs no more, and ends what runs", async () => {
    const { tasks, handler } = start({ threads: 1 });
    const { id } = await tasks.enqueue(task, { do: "forever" });
    await untilRunning(tasks, id);
    await handler.close();
    await rejection(tasks.wait(task, id));
    expect(await tasks.status(id)).toMatchObject({ state: "failed", attempt: 2, error: { code: "CLOSED" } });
    expect(handler.threads).toBe(0);
  });
});

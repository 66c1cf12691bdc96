import type { TaskEvent } from "@holdfast/queue";
import {
  decodePayload,
  defineTask,
  encodePayload,
  handle,
  memoryStore,
  QUEUE_DEFAULTS,
  queue,
  QueueFullError,
  TASK_DEFAULTS,
  TaskExistsError,
  TaskNotFoundError,
  uuidV7,
} from "@holdfast/queue";
import { leakCheck, manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";
import { bench, gate, rejection } from "./bench.ts";

const double = defineTask<number, number, number>({ name: "double" });

describe("enqueue", () => {
  it(row([9, 77], "answers with an ID at once, long before the task has run"), async () => {
    const { queue: tasks, work, clock } = bench();
    const { id, duplicate } = await tasks.enqueue(double, 21);
    expect(duplicate).toBe(false);
    expect(id).toMatch(/^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
    expect((await tasks.status(id)).state).toBe("ready");
    // A render of three minutes.
    await using _ = work([handle(double, async ({ input }) => (await clock.sleep("3m"), input * 2))]);
    await clock.advance("179s");
    expect((await tasks.status(id)).state).toBe("running");
    await clock.advance("1s");
    expect(await tasks.wait(double, id)).toBe(42);
  });

  it(row(78, "keeps the payload in the queue until a worker pulls it"), async () => {
    const { queue: tasks, work } = bench();
    const store = defineTask<{ text: string; bytes: Uint8Array }, never, string>({ name: "store" });
    const { id } = await tasks.enqueue(store, { text: "hello", bytes: new Uint8Array([1, 2, 3]) });
    await using _ = work([
      handle(store, ({ input }) => {
        const { text, bytes } = input as { text: string; bytes: Uint8Array };
        return `${text} ${bytes.join()}`;
      }),
    ]);
    expect(await tasks.wait(store, id)).toBe("hello 1,2,3");
  });

  it("names the live task of a dedup key, and adds a new one once that has ended", async () => {
    const { queue: tasks } = bench();
    const first = await tasks.enqueue(double, 1, { dedupKey: "k" });
    expect(await tasks.enqueue(double, 2, { dedupKey: "k" })).toEqual({ id: first.id, duplicate: true });
    await tasks.cancel(first.id);
    expect((await tasks.enqueue(double, 3, { dedupKey: "k" })).duplicate).toBe(false);
  });

  it("refuses an ID that is taken, so that a request sent again adds nothing", async () => {
    const { queue: tasks } = bench();
    await tasks.enqueue(double, 1, { id: "order:1" });
    expect(await rejection(tasks.enqueue(double, 1, { id: "order:1" }))).toBeInstanceOf(TaskExistsError);
    expect((await tasks.stats()).ready).toBe(1);
  });

  it("refuses what would go beyond the limit, and says when to come back", async () => {
    const { queue: tasks } = bench({ limit: 2, retryAfter: "7s" });
    await tasks.enqueueMany(double, [{ input: 1 }, { input: 2 }]);
    const error = await rejection(tasks.enqueue(double, 3));
    expect(error).toBeInstanceOf(QueueFullError);
    expect(error).toMatchObject({ code: "QUEUE_FULL", live: 2, retryAfterMs: 7_000, status: 503 });
  });

  it("adds many in order in one step", async () => {
    const { queue: tasks, store } = bench();
    const added = await tasks.enqueueMany(double, [
      { input: 1, priority: -1 },
      { input: 2 },
      { input: 3, delay: 5 },
    ]);
    const claimed = await store.claim("bench", { worker: "w", max: 5, leaseMs: 1_000 });
    expect(claimed.map(({ id }) => id)).toEqual([added[1]!.id, added[0]!.id]);
    expect(await tasks.enqueueMany(double, [])).toEqual([]);
  });

  it("adds those of many whose IDs are free, and says which one was not", async () => {
    const { queue: tasks } = bench();
    await tasks.enqueue(double, 1, { id: "taken" });
    const items = [
      { input: 1, id: "a" },
      { input: 2, id: "taken" },
      { input: 3, id: "b" },
    ];
    expect(await rejection(tasks.enqueueMany(double, items))).toMatchObject({
      code: "TASK_EXISTS",
      taskId: "taken",
    });
    expect((await tasks.status("b")).state).toBe("ready");
  });

  it("sends nothing when its signal was aborted, and rejects with the signal's reason", async () => {
    const { queue: tasks } = bench();
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    expect(await rejection(tasks.enqueue(double, 1, { signal }))).toBe(reason);
    expect(await rejection(tasks.enqueueMany(double, [{ input: 1 }], { signal }))).toBe(reason);
    expect((await tasks.stats()).ready).toBe(0);
  });

  it.each([
    [{ id: "" }, /id/],
    [{ id: "a b" }, /id/],
    [{ id: "x".repeat(101) }, /id/],
    [{ priority: 1_001 }, /priority/],
    [{ priority: 0.5 }, /priority/],
    [{ delay: -1 }, /delay/],
    [{ delay: "soon" as never }, /delay/],
    [{ dedupKey: "" }, /dedupKey/],
    [{ group: "x".repeat(256) }, /group/],
  ])("refuses %o", async (options, message) => {
    const { queue: tasks } = bench();
    const error = await rejection(tasks.enqueue(double, 1, options));
    expect(error).toMatchObject({ code: "INVALID_OPTION" });
    expect(error.message).toMatch(message);
  });

  it("is refused by a queue that is closed, whose store goes on", async () => {
    const { queue: tasks, store } = bench();
    await tasks.close();
    expect(await rejection(tasks.enqueue(double, 1))).toMatchObject({ code: "CLOSED" });
    expect((await store.stats("bench")).ready).toBe(0);
  });
});

describe("queue and defineTask", () => {
  it("refuse options that are out of range", () => {
    const store = memoryStore();
    expect(() => queue({ name: "with space", store })).toThrow(/name/);
    expect(() => queue({ name: "", store })).toThrow(/name/);
    expect(() => queue({ name: "q", store: undefined as never })).toThrow(/store/);
    expect(() => queue({ name: "q", store, limit: 0 })).toThrow(/limit/);
    expect(() => queue({ name: "q", store, maxPayloadBytes: 0.5 })).toThrow(/maxPayloadBytes/);
    expect(() => defineTask({ name: "" })).toThrow(/name/);
    expect(() => defineTask({ name: "t", attempts: 0 })).toThrow(/attempts/);
    expect(() => defineTask({ name: "t", timeout: 0 })).toThrow(/timeout/);
    expect(() => defineTask({ name: "t", leaseLosses: -1 })).toThrow(/leaseLosses/);
  });

  it("have the defaults that they say they have", async () => {
    expect(QUEUE_DEFAULTS).toEqual({
      limit: 100_000,
      maxPayloadBytes: 1_048_576,
      retryAfterMs: 1_000,
      maxWaitMs: 30_000,
      maxWaiting: 1_000,
    });
    const { timeoutMs, keepMs } = defineTask({ name: "t" });
    const { queue: tasks } = bench();
    const attempts = (await tasks.status((await tasks.enqueue(defineTask({ name: "t" }), 1)).id)).maxAttempts;
    expect({ attempts, timeoutMs, keepMs }).toEqual({
      attempts: TASK_DEFAULTS.attempts,
      timeoutMs: TASK_DEFAULTS.timeoutMs,
      keepMs: TASK_DEFAULTS.keepMs,
    });
  });
});

describe("wait", () => {
  it("rejects with the signal's own reason and leaves no listener behind", async () => {
    const { queue: tasks } = bench();
    const { id } = await tasks.enqueue(double, 1);
    const stop = new AbortController();
    const leaks = leakCheck({ signals: [stop.signal] });
    const waiting = rejection(tasks.wait(double, id, { signal: stop.signal }));
    await Promise.resolve();
    const reason = new Error("enough");
    stop.abort(reason);
    expect(await waiting).toBe(reason);
    leaks.assertNone();
  });

  it("[pitfall 6] does not hang on a task that is forgotten meanwhile or was never there", async () => {
    const { queue: tasks, clock, settle } = bench();
    expect(await rejection(tasks.wait(double, "unknown"))).toBeInstanceOf(TaskNotFoundError);
    const brief = defineTask<number, number, number>({ name: "brief", keepFor: 0 });
    const { id } = await tasks.enqueue(brief, 1);
    const waiting = rejection(tasks.wait(brief, id));
    await settle();
    await tasks.cancel(id);
    await clock.advance(1);
    expect(await waiting).toMatchObject({
      code: expect.stringMatching(/TASK_NOT_FOUND|TASK_CANCELLED/) as string,
    });
  });

  it("settles when the store closes", async () => {
    const { queue: tasks, store, settle } = bench();
    const { id } = await tasks.enqueue(double, 1);
    const waiting = rejection(tasks.wait(double, id));
    await settle();
    await store.close();
    expect(await waiting).toMatchObject({ code: "CLOSED" });
  });
});

describe("events", () => {
  it("[pitfall 6] come from the first one on, also to whoever asks late, and end with the task", async () => {
    const { queue: tasks, work, settle } = bench();
    const held = gate();
    await using _ = work([
      handle(double, async ({ input, progress }) => (await progress(1), await held.promise, input)),
    ]);
    const { id } = await tasks.enqueue(double, 1);
    await settle();
    const seen: TaskEvent["type"][] = [];
    const following = (async () => {
      for await (const { type } of tasks.events(id)) seen.push(type);
    })();
    await settle();
    expect(seen).toEqual(["enqueued", "started", "progress"]);
    held.open();
    await following;
    expect(seen).toEqual(["enqueued", "started", "progress", "completed"]);
  });

  it("resume behind the last one that was seen", async () => {
    const { queue: tasks, work } = bench();
    await using _ = work([handle(double, ({ input }) => input)]);
    const { id } = await tasks.enqueue(double, 1);
    await tasks.wait(double, id);
    const seen: number[] = [];
    for await (const { seq } of tasks.events(id, { after: 1 })) seen.push(seq);
    expect(seen).toEqual([2, 3]);
  });

  it("stop at once when the signal aborts, also in the middle of a page, and leave nothing behind", async () => {
    const { queue: tasks, work } = bench();
    await using _ = work([handle(double, ({ input }) => input)]);
    const { id } = await tasks.enqueue(double, 1);
    await tasks.wait(double, id);
    const stop = new AbortController();
    const leaks = leakCheck({ signals: [stop.signal] });
    const reason = new Error("enough");
    const events = tasks.events(id, { signal: stop.signal });
    await events.next();
    stop.abort(reason);
    expect(await rejection(events.next())).toBe(reason);
    leaks.assertNone();
  });

  it("reject for a task that is not there, or forgotten while they are read", async () => {
    const { queue: tasks } = bench();
    expect(await rejection(tasks.events("unknown").next())).toBeInstanceOf(TaskNotFoundError);
    const { id } = await tasks.enqueue(double, 1);
    const events = tasks.events(id);
    await events.next();
    await tasks.cancel(id);
    await tasks.discard(id);
    expect(await rejection(events.next())).toBeInstanceOf(TaskNotFoundError);
    expect(await rejection(tasks.events(id, { after: -1 }).next())).toMatchObject({ code: "INVALID_OPTION" });
  });
});

describe("payloads", () => {
  it.each([
    [undefined],
    [null],
    ["text"],
    [{ $blob: 0 }],
    [{ $$blob: { $blob: "x" }, list: [{ $blob: 1 }, new Uint8Array([1])] }],
    [{ text: '"$blob":0' }],
    [{ ["__proto__x"]: 1, deep: { bytes: new Uint8Array([9]) } }],
    [[new Uint8Array(), new Uint8Array([0, 255])]],
  ])("come back as they went in: %o", (value) => {
    expect(decodePayload(encodePayload(value, 10_000))).toEqual(value);
  });

  it("keep a Buffer's bytes, and an own __proto__ is an ordinary key", () => {
    expect(decodePayload(encodePayload(Buffer.from("hi"), 100))).toEqual(new Uint8Array([104, 105]));
    const odd = JSON.parse('{"__proto__":{"admin":true},"b":{"$blob":3}}') as object;
    const back = decodePayload(encodePayload(odd, 100)) as { admin?: boolean };
    expect(back.admin).toBeUndefined();
    expect(Object.keys(back)).toEqual(["__proto__", "b"]);
  });

  it("are measured in bytes as they are sent, not in characters", () => {
    expect(() => encodePayload("ü".repeat(49), 100)).not.toThrow();
    expect(() => encodePayload("ü".repeat(50), 100)).toThrow(/102 bytes, more than the 100/);
    expect(() => encodePayload({ b: new Uint8Array(100) }, 100)).toThrow(/more than the 100/);
  });
});

describe("task IDs", () => {
  it("sort by time and do not repeat", () => {
    const makeId = uuidV7();
    const ids = Array.from({ length: 2_000 }, () => makeId(1_700_000_000_000));
    expect(new Set(ids).size).toBe(2_000);
    expect(makeId(1_700_000_000_001) > ids[0]!).toBe(true);
    expect(makeId(manualClock().now()).slice(0, 13)).toBe("018bcfe5-6800");
  });
});

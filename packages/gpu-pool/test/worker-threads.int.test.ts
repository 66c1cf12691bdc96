import { setTimeout as sleep } from "node:timers/promises";
import { hasCode } from "@holdfast/core";
import type { GpuPool, GpuPoolOptions } from "@holdfast/gpu-pool";
import { gpuPool } from "@holdfast/gpu-pool";
import { workerThreads } from "@holdfast/gpu-pool/worker-threads";
import { afterEach, describe, expect, it } from "vitest";

const MODELS = ["echo", "double", "count", "deaf", "fail", "throwText", "exit", "uncaught", "hoard"];
const pools: GpuPool[] = [];

function pool(count: number, options: Partial<GpuPoolOptions> = {}): GpuPool {
  const made = gpuPool({
    workers: workerThreads({
      module: new URL("./fixtures/models.mjs", import.meta.url),
      count,
      resourceLimits: { maxOldGenerationSizeMb: 64 },
    }),
    models: MODELS.map((name) => ({ name })),
    cancelGrace: 100,
    ...options,
  });
  pools.push(made);
  return made;
}

afterEach(async () => {
  await Promise.all(pools.splice(0).map((one) => one.close({ within: 0 })));
});

const code = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "no error",
    (error: unknown) => (error as { code?: unknown }).code ?? error,
  );

/** Resolves once a counter has stood still. */
async function stopped(counter: Int32Array): Promise<void> {
  await expect
    .poll(
      async () => {
        const before = Atomics.load(counter, 0);
        await sleep(50);
        return Atomics.load(counter, 0) - before;
      },
      { timeout: 10_000 },
    )
    .toBe(0);
}

describe("gpuPool over worker threads", () => {
  it("answers a thousand requests, each its own", async () => {
    const threads = pool(2);
    const answers = await Promise.all(
      Array.from({ length: 1_000 }, (_, index) => threads.run("echo", { index })),
    );
    expect(answers).toEqual(Array.from({ length: 1_000 }, (_, index) => ({ index })));
    expect(threads.snapshot()).toMatchObject({ waiting: 0, running: 0, slots: 2 });
  });

  it("reports progress and moves buffers back", async () => {
    const seen: number[] = [];
    const output = await pool(1).run(
      "double@1",
      { numbers: Float64Array.of(1, 2, 3) },
      { onProgress: (value) => seen.push(value as number) },
    );
    expect(output).toEqual({ numbers: Float64Array.of(2, 4, 6) });
    expect(seen).toEqual([1 / 3, 2 / 3, 1]);
  });

  it("stops running work when its signal aborts, and gives the reason back untouched", async () => {
    const threads = pool(1);
    const shared = new SharedArrayBuffer(4);
    const counter = new Int32Array(shared);
    const stop = new AbortController();
    const reason = { why: "changed my mind" };
    const result = threads.run("count", { shared }, { signal: stop.signal });
    await expect.poll(() => Atomics.load(counter, 0)).toBeGreaterThan(10);
    stop.abort(reason);
    await expect(result).rejects.toBe(reason);
    await stopped(counter);
    expect(await threads.run("echo", "next")).toBe("next");
    expect(threads.snapshot().devices[0]).toMatchObject({ status: "up", failuresInARow: 0 });
  });

  it("[server#7512] ends a thread that does not listen, after the grace period, and replaces it", async () => {
    const threads = pool(1);
    const shared = new SharedArrayBuffer(4);
    const counter = new Int32Array(shared);
    const result = threads.run("deaf", { shared }, { deadline: "300ms" });
    expect(await code(result)).toBe("DEADLINE_EXCEEDED");
    await stopped(counter);
    expect(Atomics.load(counter, 0)).toBeGreaterThan(0);
    expect(await threads.run("echo", "next")).toBe("next");
  });

  it("[ComfyUI#7513] a late cancel never hits the next request", async () => {
    const threads = pool(1);
    for (let round = 0; round < 50; round += 1) {
      const stop = new AbortController();
      await threads.run("echo", round, { signal: stop.signal });
      const next = threads.run("double", { numbers: Float64Array.of(1, 2) });
      stop.abort(new Error("too late"));
      await expect(next).resolves.toEqual({ numbers: Float64Array.of(2, 4) });
    }
  });

  it("hands on what a model throws, and stays well", async () => {
    const threads = pool(1);
    await expect(threads.run("fail", {})).rejects.toMatchObject({
      code: "MODEL_FAILED",
      reason: "RangeError",
      message: "no such colour",
    });
    await expect(threads.run("throwText", {})).rejects.toMatchObject({ reason: "NON_ERROR_THROWN" });
    expect(await threads.run("echo", "still here")).toBe("still here");
  });

  it.each(["exit", "uncaught", "hoard"])(
    "[server#4023] a model that dies by %s fails alone, and its thread is replaced",
    async (model) => {
      const threads = pool(2);
      const neighbours = Promise.all(Array.from({ length: 20 }, (_, index) => threads.run("echo", index)));
      expect(await code(threads.run(model, {}))).toBe("WORKER_CRASHED");
      expect(await neighbours).toHaveLength(20);
      await expect
        .poll(() => threads.snapshot().devices.map(({ status }) => status), { timeout: 10_000 })
        .toEqual(["up", "up"]);
      expect(await threads.run("echo", "after")).toBe("after");
    },
  );

  it("[server#3627] quarantines a device that keeps crashing", async () => {
    const threads = pool(1, { quarantineAfter: 2 });
    expect(await code(threads.run("exit", {}))).toBe("WORKER_CRASHED");
    expect(await code(threads.run("exit", {}))).toBe("WORKER_CRASHED");
    expect(threads.snapshot().devices[0]).toMatchObject({ status: "quarantined", failuresInARow: 2 });
    expect(threads.snapshot().slots).toBe(0);
  });

  it("[server#6796] refuses exactly what is beyond the limit, with a time to come back", async () => {
    const threads = pool(1, { queueLimit: 2 });
    await threads.run("echo", 0);
    const shared = new SharedArrayBuffer(4);
    const running = threads.run("count", { shared });
    running.catch(() => {});
    const waiting = [threads.run("echo", 1), threads.run("echo", 2)];
    for (const one of waiting) one.catch(() => {});
    const refused = await threads.run("echo", 3).catch((error: unknown) => error);
    expect(hasCode(refused, "POOL_SATURATED") && (refused.retryAfterMs ?? 0) >= 1_000).toBe(true);
  });

  it("[server#8030] takes a waiting request back at once", async () => {
    const threads = pool(1);
    await threads.run("echo", 0);
    const shared = new SharedArrayBuffer(4);
    threads.run("count", { shared }).catch(() => {});
    const stop = new AbortController();
    const waiting = threads.run("echo", 1, { signal: stop.signal });
    stop.abort(new Error("left"));
    await expect(waiting).rejects.toThrow("left");
    expect(threads.snapshot().waiting).toBe(0);
  });

  it("closes within its budget, finishing what it can and saying what it cut", async () => {
    const threads = pool(1);
    const shared = new SharedArrayBuffer(4);
    const counter = new Int32Array(shared);
    await threads.run("echo", 0);
    const quick = threads.run("echo", "quick");
    const endless = threads.run("count", { shared });
    expect(await Promise.all([threads.close({ within: 200 }), quick, code(endless)])).toEqual([
      { finished: 1, cut: 1 },
      "quick",
      "CLOSED",
    ]);
    await stopped(counter);
    expect(await code(threads.run("echo", 1))).toBe("CLOSED");
  });

  it("refuses unknown models and bad options at once", async () => {
    const threads = pool(1);
    expect(await code(threads.run("paint", {}))).toBe("UNKNOWN_MODEL");
    expect(await code(threads.run("echo", {}, { priority: 1.5 }))).toBe("INVALID_OPTION");
    expect(() => workerThreads({ module: new URL("file:///x.mjs"), count: 0 })).toThrow(/count/);
  });
});

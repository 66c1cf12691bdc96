import { execFile } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { hasCode } from "@holdfast/core";
import type { GpuPool, GpuPoolOptions } from "@holdfast/gpu-pool";
import { gpuPool } from "@holdfast/gpu-pool";
import { childProcesses, childProcessProvider } from "@holdfast/gpu-pool/child-processes";
import { workerThreads } from "@holdfast/gpu-pool/worker-threads";
import { afterEach, describe, expect, it } from "vitest";

const MODELS =
  "echo double count deaf fail failWithCode throwText exit uncaught hoard loaded chatty size half function".split(
    " ",
  );
const unloaded = new Int32Array(new SharedArrayBuffer(4));
const pools: GpuPool[] = [];

function pool(count: number, options: Partial<GpuPoolOptions> = {}): GpuPool {
  const made = gpuPool({
    workers: workerThreads({
      module: new URL("./fixtures/models.mjs", import.meta.url),
      count,
      resourceLimits: { maxOldGenerationSizeMb: 64 },
      workerData: { shared: unloaded.buffer },
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
    expect(threads.snapshot()).toMatchObject({ waiting: 0, running: 0 });
    // The second thread may come up when the first has done it all.
    await expect.poll(() => threads.snapshot().capacity, { timeout: 10_000 }).toBe(2);
  });

  it("reports progress and moves buffers back", async () => {
    const seen: number[] = [];
    const output = await pool(1).run(
      "double@1",
      { numbers: Float64Array.of(1, 2, 3) },
      { onProgress: (value) => seen.push(value as number) },
    );
    expect(output).toEqual({ numbers: Float64Array.of(2, 4, 6) });
    expect(seen.at(-1)).toBe(1);
  });

  it("moves buffers there that the caller names, and copies the others", async () => {
    const threads = pool(1);
    const kept = new Uint8Array(1_000);
    const given = new Uint8Array(1_000);
    expect(await threads.run("size", kept)).toBe(1_000);
    expect(await threads.run("size", given, { transfer: [given.buffer] })).toBe(1_000);
    expect([kept.byteLength, given.byteLength]).toEqual([1_000, 0]);
  });

  it("copies a part of a buffer, whose rest the model may still need", async () => {
    const threads = pool(1);
    await threads.run("half", {});
    expect(await threads.run("half", {})).toEqual({ half: Uint8Array.of(7, 7, 7, 7), whole: 8 });
  });

  it("passes on some of a flood of progress, and always the last", async () => {
    const seen: number[] = [];
    await pool(1).run("chatty", 10_000, { onProgress: (value) => seen.push(value as number) });
    expect(seen.at(-1)).toBe(10_000);
    expect(seen.length).toBeLessThan(100);
  });

  it("[server#3583] loads a model before it runs, and unloads it when the pool closes", async () => {
    const threads = pool(2);
    expect(await threads.run("loaded", 2)).toEqual([2, 4, 6]);
    await expect.poll(() => threads.snapshot().capacity).toBe(2);
    const before = Atomics.load(unloaded, 0);
    await threads.close();
    expect(Atomics.load(unloaded, 0) - before).toBe(2);
  });

  it("keeps a device down whose module does not serve a model, and says why", async () => {
    const threads = pool(1, { models: [{ name: "paint" }] });
    await expect
      .poll(() => threads.snapshot().devices[0]?.lastFailure)
      .toBe('no model "paint@1" is registered');
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
    // A thread may take longer to start than the deadline leaves.
    await threads.run("echo", "first");
    const shared = new SharedArrayBuffer(4);
    const counter = new Int32Array(shared);
    const result = threads.run("deaf", { shared }, { deadline: "300ms" });
    expect(await code(result)).toBe("DEADLINE_EXCEEDED");
    await stopped(counter);
    expect(Atomics.load(counter, 0)).toBeGreaterThan(0);
    expect(await threads.run("echo", "next")).toBe("next");
  });

  it("ends a thread at once that has not answered its heartbeat, when its request is cancelled", async () => {
    const threads = pool(1, { heartbeat: 50, cancelGrace: "1h" });
    const shared = new SharedArrayBuffer(4);
    const stop = new AbortController();
    const result = threads.run("deaf", { shared }, { signal: stop.signal });
    await expect.poll(() => threads.snapshot().devices[0]?.responsive).toBe(false);
    stop.abort(new Error("enough"));
    await expect(result).rejects.toThrow("enough");
    await stopped(new Int32Array(shared));
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
    await expect(threads.run("failWithCode", {})).rejects.toMatchObject({
      reason: "BROKEN_IMAGE",
      cause: { name: "Error", code: "BROKEN_IMAGE", stack: expect.stringContaining("models.mjs") as string },
    });
    await expect(threads.run("throwText", {})).rejects.toMatchObject({ reason: "NON_ERROR_THROWN" });
    expect(await code(threads.run("echo", () => 1))).toBe("MODEL_FAILED");
    expect(await code(threads.run("function", {}))).toBe("MODEL_FAILED");
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
    expect(threads.snapshot().capacity).toBe(0);
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

  it("keeps its process for those who wait for it alone, and leaves no thread in it", async () => {
    const script = fileURLToPath(new URL("./fixtures/one-shot.mjs", import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [script], { timeout: 20_000 });
    expect(stdout.trim().split("\n")).toEqual(["ready", "42", "not closed, and yet it ends"]);
  });

  it("refuses unknown models and bad options at once", async () => {
    const threads = pool(1);
    expect(await code(threads.run("paint", {}))).toBe("UNKNOWN_MODEL");
    expect(await code(threads.run("echo", {}, { priority: 1.5 }))).toBe("INVALID_OPTION");
    expect(() => workerThreads({ module: new URL("file:///x.mjs"), count: 0 })).toThrow(/count/);
    for (const make of [workerThreads, childProcesses, childProcessProvider, gpuPool])
      for (const options of [undefined, {}])
        expect(() => make(options as never)).toThrow(expect.objectContaining({ code: "INVALID_OPTION" }));
  });
});

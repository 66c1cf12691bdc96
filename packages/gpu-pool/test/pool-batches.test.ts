import { channel } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import type { Device, GpuPool, GpuPoolOptions, ModelEvent, RunModelOptions } from "@holdfast/gpu-pool";
import { classifyFailure, gpuPool, ModelFailedError } from "@holdfast/gpu-pool";
import { describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";
import { ScriptedWorkers } from "./fixtures/scripted-workers.ts";

const clock = manualClock();

async function open(
  options: Partial<GpuPoolOptions> = {},
  devices?: readonly Device[],
): Promise<{ pool: GpuPool; workers: ScriptedWorkers }> {
  const workers = new ScriptedWorkers(devices);
  const pool = gpuPool({ workers, models: [{ name: "m", maxBatch: 4 }], clock, ...options });
  await clock.advance(0);
  return { pool, workers };
}

function watch(promise: Promise<unknown>): { value?: unknown; error?: unknown } {
  const seen: { value?: unknown; error?: unknown } = {};
  promise.then(
    (value) => (seen.value = value),
    (error: unknown) => (seen.error = error),
  );
  return seen;
}

const runs = (workers: ScriptedWorkers): string[] => workers.log.filter((line) => line.startsWith("run"));

describe("gpuPool, batches", () => {
  it("runs what waited together, and answers each item by itself", async () => {
    const { pool, workers } = await open();
    const first = pool.run("m", 0);
    await clock.advance(10);
    workers.succeed(1, "first");
    await first;
    const seen = [1, 2, 3].map((input) => watch(pool.run("m", input)));
    // The first of them runs alone; the others are a batch after it.
    workers.succeed(2, "a");
    expect(runs(workers)).toEqual(["run 1 on a", "run 2 on a", "run 3,4 on a"]);
    workers.fail(3, new Error("bad picture"));
    workers.succeed(4, "c");
    await clock.advance(0);
    expect(seen).toMatchObject([{ value: "a" }, { error: { message: "bad picture" } }, { value: "c" }]);
    await pool.close();
  });

  it("[server#4023] a batch that does not fit is split; one that does not fit alone fails by itself", async () => {
    const { pool, workers } = await open({
      models: [{ name: "m", maxBatch: 4, times: { perItemMs: 1, fixedMs: 1 } }],
    });
    const first = watch(pool.run("m", 0));
    const seen = [1, 2, 3, 4].map((input) => watch(pool.run("m", input)));
    workers.succeed(1);
    expect(runs(workers).at(-1)).toBe("run 2,3,4,5 on a");
    workers.outOfMemory(2);
    expect(runs(workers).at(-1)).toBe("run 2,3 on a");
    workers.outOfMemory(2);
    expect(runs(workers).at(-1)).toBe("run 2 on a");
    workers.outOfMemory(2);
    workers.outOfMemory(2);
    for (const id of [3, 4, 5]) workers.succeed(id, id);
    await clock.advance(0);
    expect(first.value).toBe("done");
    expect(seen).toMatchObject([
      { error: { code: "OUT_OF_MEMORY", device: "a", model: "m@1" } },
      { value: 3 },
      { value: 4 },
      { value: 5 },
    ]);
    await pool.close();
  });

  it("a worker that dies in the middle of a batch costs only whom it dies of again", async () => {
    const { pool, workers } = await open({
      models: [{ name: "m", maxBatch: 4, times: { perItemMs: 1, fixedMs: 1 } }],
    });
    const seen = [0, 1, 2, 3].map((input) => watch(pool.run("m", input)));
    workers.succeed(1, "first");
    workers.succeed(2, "before the end");
    workers.crash("a");
    await clock.advance(100);
    expect(runs(workers).slice(-1)).toEqual(["run 3 on a"]);
    workers.crash("a");
    await clock.advance(200);
    workers.succeed(4, "innocent");
    await clock.advance(0);
    expect(seen).toMatchObject([
      { value: "first" },
      { value: "before the end" },
      { error: { code: "WORKER_CRASHED" } },
      { value: "innocent" },
    ]);
    await pool.close();
  });

  it("[ComfyUI#2566] a cancel within a batch never costs a neighbour its answer", async () => {
    const { pool, workers } = await open({
      cancelGrace: 50,
      models: [{ name: "m", maxBatch: 4, times: { perItemMs: 1, fixedMs: 1 } }],
    });
    workers.behaviour.heeds = false;
    const stop = new AbortController();
    const first = watch(pool.run("m", 0));
    const cancelled = watch(pool.run("m", 1, { signal: stop.signal }));
    const neighbour = watch(pool.run("m", 2));
    workers.succeed(1);
    expect(runs(workers).at(-1)).toBe("run 2,3 on a");
    stop.abort("enough");
    await clock.advance(1_000);
    expect([first.value, cancelled.error]).toEqual(["done", "enough"]);
    expect(workers.log).not.toContain("kill a");
    workers.succeed(3, "fine");
    workers.succeed(2, "too late");
    await clock.advance(0);
    expect(neighbour.value).toBe("fine");
    await pool.close();
  });

  it("waits for a batch to fill only in the simple mode's time, or what deadlines allow", async () => {
    const { pool, workers } = await open({ models: [{ name: "m", maxBatch: 4, maxDelay: "5ms" }] });
    const one = pool.run("m", 1);
    await clock.advance(4);
    expect(runs(workers)).toEqual([]);
    await clock.advance(1);
    expect(runs(workers)).toEqual(["run 1 on a"]);
    workers.succeed(1);
    await one;
    await pool.close();
  });

  it("serves tenants in turn, by device time", async () => {
    const { pool, workers } = await open({ models: [{ name: "m", times: { perItemMs: 100, fixedMs: 0 } }] });
    const all = [
      ...Array.from({ length: 6 }, (_, index) => pool.run("m", index, { tenant: "greedy" })),
      pool.run("m", 6, { tenant: "modest" }),
    ];
    const order: number[] = [];
    for (const _ of all) {
      const [id] = [...workers.running.keys()];
      order.push(id!);
      await clock.advance(100);
      workers.succeed(id!);
    }
    await Promise.all(all);
    expect(order.indexOf(7)).toBeLessThanOrEqual(3);
    await pool.close();
  });
});

describe("gpuPool, inputs that are moved", () => {
  const models = [{ name: "m", maxBatch: 4, times: { perItemMs: 1, fixedMs: 1 } }];
  const moved = (): [unknown, RunModelOptions] => {
    const bytes = new ArrayBuffer(16);
    return [{ bytes }, { transfer: [bytes] }];
  };

  it("a request whose input has left with its worker fails when that dies, and is never run without it", async () => {
    const { pool, workers } = await open({ models });
    const first = watch(pool.run("m", 0));
    const seen = [
      watch(pool.run("m", ...moved())),
      watch(pool.run("m", 1)),
      watch(pool.run("m", ...moved())),
    ];
    workers.succeed(1);
    expect(runs(workers).at(-1)).toBe("run 2,3,4 on a");
    workers.crash("a");
    await clock.advance(100);
    expect(runs(workers).at(-1)).toBe("run 3 on a");
    workers.succeed(3, "again");
    await clock.advance(100);
    expect(first.value).toBe("done");
    expect(seen).toMatchObject([
      { error: { code: "WORKER_CRASHED", device: "a", cause: { message: "killed" } } },
      { value: "again" },
      { error: { code: "WORKER_CRASHED" } },
    ]);
    expect(pool.snapshot()).toMatchObject({ waiting: 0, running: 0, ended: { crashed: 2, succeeded: 2 } });
    await pool.close();
  });

  it("so does one of a batch that did not fit, and the batches after it are smaller", async () => {
    const { pool, workers } = await open({ models });
    const first = watch(pool.run("m", 0));
    const seen = [1, 2, 3, 4].map((one) => watch(one === 2 ? pool.run("m", one) : pool.run("m", ...moved())));
    workers.succeed(1);
    expect(runs(workers).at(-1)).toBe("run 2,3,4,5 on a");
    workers.outOfMemory(2);
    expect(runs(workers).at(-1)).toBe("run 3 on a");
    const next = [5, 6, 7].map((one) => watch(pool.run("m", one)));
    workers.succeed(3, "again");
    expect(runs(workers).at(-1)).toBe("run 6,7 on a");
    for (const id of [6, 7, 8]) workers.succeed(id, id);
    await clock.advance(0);
    expect(first.value).toBe("done");
    const tooLarge = { error: { code: "OUT_OF_MEMORY", device: "a", model: "m@1" } };
    expect(seen).toMatchObject([tooLarge, { value: "again" }, tooLarge, tooLarge]);
    expect(next).toMatchObject([{ value: 6 }, { value: 7 }, { value: 8 }]);
    expect(clock.pendingTimers).toBe(1);
    await pool.close();
  });
});

describe("gpuPool, models that do not all fit", () => {
  const small: readonly Device[] = [{ id: "a", capacity: 1, memoryBytes: 10 }];
  const models = [
    { name: "m", memoryBytes: 6 },
    { name: "n", memoryBytes: 6 },
  ];

  it(row(181, "preloads what fits, and swaps in what is asked for"), async () => {
    const moved: string[] = [];
    const stop = channel<ModelEvent>("gpu-pool", "model").subscribe(({ model, change }) =>
      moved.push(`${model} ${change}`),
    );
    const { pool, workers } = await open({ models }, small);
    expect(pool.snapshot().devices).toMatchObject([{ loaded: ["m@1"] }]);
    const answer = pool.run("n", 1);
    await clock.advance(0);
    expect(workers.log).toEqual([
      "start a",
      "load m@1 on a",
      "unload m@1 on a",
      "load n@1 on a",
      "run 1 on a",
    ]);
    workers.succeed(1, "swapped");
    expect(await answer).toBe("swapped");
    expect(pool.snapshot().devices).toMatchObject([{ loaded: ["n@1"] }]);
    expect(moved).toEqual(["m@1 unloaded", "n@1 loaded"]);
    await pool.close();
    stop();
  });

  it("says so when a model cannot be loaded anywhere", async () => {
    const { pool, workers } = await open({ models }, small);
    workers.behaviour.load = async () => {
      throw new Error("no such file");
    };
    const seen = watch(pool.run("n", 1, { deadline: "1m" }));
    await clock.advance(0);
    // Tried again every five seconds, three times in all.
    await clock.advance("10s");
    expect(seen.error).toMatchObject({ code: "MODEL_UNAVAILABLE", model: "n@1" });
    await pool.close({ within: 0 });
  });

  it("[server#3583] a lease keeps its model where it is, and is told when the device goes", async () => {
    const { pool, workers } = await open({ models }, small);
    const lease = await pool.acquire("n");
    expect([lease.model, lease.device]).toEqual(["n@1", "a"]);
    const waits = watch(pool.run("m", 1, { deadline: 100 }));
    await clock.advance(100);
    expect(waits.error).toMatchObject({ code: "DEADLINE_EXCEEDED", phase: "waiting" });
    const answer = pool.run("n", 2);
    workers.crash("a");
    expect(lease.lost.aborted).toBe(true);
    lease.release();
    await expect(answer).rejects.toMatchObject({ code: "WORKER_CRASHED" });
    await pool.close({ within: 0 });
  });

  it("takes back a wish for a lease, and ends those that wait when it closes", async () => {
    const { pool } = await open({ models }, small);
    await pool.acquire("m");
    const stop = new AbortController();
    const unwanted = watch(pool.acquire("n", { signal: stop.signal }));
    const waiting = watch(pool.acquire("n"));
    stop.abort("enough");
    await clock.advance(0);
    expect(unwanted.error).toBe("enough");
    await pool.close({ within: 0 });
    expect(waiting.error).toMatchObject({ code: "CLOSED" });
    expect(clock.pendingTimers).toBe(0);
  });

  it("refuses models that fit nowhere", () => {
    expect(() =>
      gpuPool({ workers: new ScriptedWorkers(small), models: [{ name: "m", memoryBytes: 11 }], clock }),
    ).toThrow(/fit into the 10 bytes of a/);
  });
});

describe("gpuPool, sick devices", () => {
  it("[server#3627] [onnxruntime_backend PR#365] a broken context fails its request, and the worker is replaced before anything else runs on it", async () => {
    const { pool, workers } = await open();
    const first = watch(pool.run("m", 1));
    const second = watch(pool.run("m", 2));
    workers.fail(1, new Error("CUDA error: an illegal memory access was encountered"));
    await clock.advance(0);
    expect(first.error).toMatchObject({ message: /illegal memory access/ });
    expect(pool.snapshot().devices).toMatchObject([{ status: "restarting", failuresInARow: 1 }]);
    expect(runs(workers).length).toBeLessThanOrEqual(2);
    await clock.advance(100);
    workers.succeed([...workers.running.keys()][0]!, "well again");
    await clock.advance(0);
    expect(second.value).toBe("well again");
    await pool.close();
  });

  it("[server#7164] a device that is off the bus is quarantined at once, and comes back only past its canary", async () => {
    const { pool, workers } = await open({
      canary: { model: "m", input: "canary", accepts: (output) => output === "sings", timeout: "1s" },
    });
    watch(pool.run("m", 1));
    workers.fail(1, new Error("NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."));
    await clock.advance(0);
    expect(pool.snapshot().devices).toMatchObject([{ status: "quarantined" }]);
    const waits = watch(pool.run("m", 2));
    await clock.advance("30s");
    // The canary, and nobody's request.
    expect([...workers.running.values()]).toMatchObject([{ input: "canary" }]);
    workers.succeed(-1, "croaks");
    await clock.advance(0);
    expect(pool.snapshot().devices).toMatchObject([
      { status: "quarantined", lastFailure: "the worker of a gave a wrong answer to its canary" },
    ]);
    await clock.advance("30s");
    workers.succeed(-1, "sings");
    await clock.advance(0);
    expect(pool.snapshot().devices).toMatchObject([{ status: "up" }]);
    workers.succeed(2, "served");
    await clock.advance(0);
    expect(waits.value).toBe("served");
    await pool.close();
  });

  it("what a model says of its input does not count against the device, whatever the input says", async () => {
    const { pool, workers } = await open();
    for (const said of [
      "cannot parse input: the GPU is lost, says Bob",
      'unexpected "CUDA error: device-side assert triggered" at 7',
    ]) {
      const seen = watch(pool.run("m", said));
      workers.fail([...workers.running.keys()][0]!, new Error(said));
      await clock.advance(0);
      expect(seen.error).toMatchObject({ message: said });
      expect(pool.snapshot().devices).toMatchObject([{ status: "up", failuresInARow: 0 }]);
    }
    await pool.close();
  });

  it("an item that had too little memory is tried once more, after the rest of its batch", async () => {
    const { pool, workers } = await open({
      models: [{ name: "m", maxBatch: 4, times: { perItemMs: 1, fixedMs: 1 } }],
    });
    const tooLittle = (): Error => new Error("CUDA out of memory. Tried to allocate 2.00 GiB");
    const first = watch(pool.run("m", 0));
    const seen = [1, 2, 3].map((input) => watch(pool.run("m", input)));
    workers.succeed(1);
    expect(runs(workers).at(-1)).toBe("run 2,3,4 on a");
    workers.fail(2, tooLittle());
    workers.succeed(3, "fine");
    expect(runs(workers).at(-1)).toBe("run 2,3,4 on a");
    workers.fail(4, new Error("bad picture"));
    expect(runs(workers).at(-1)).toBe("run 2 on a");
    workers.fail(2, tooLittle());
    await clock.advance(0);
    expect(first.value).toBe("done");
    expect(seen).toMatchObject([
      { error: { code: "OUT_OF_MEMORY", device: "a", cause: { message: /2.00 GiB/ } } },
      { value: "fine" },
      { error: { message: "bad picture" } },
    ]);
    expect(pool.snapshot()).toMatchObject({ running: 0, waiting: 0, devices: [{ status: "up" }] });
    await pool.close();
  });

  it("a canary that is not answered in time keeps the device in quarantine", async () => {
    const { pool, workers } = await open({
      quarantineAfter: 1,
      canary: { model: "m", input: 0, timeout: "1s" },
    });
    watch(pool.run("m", 1));
    workers.crash("a");
    await clock.advance("31s");
    expect(pool.snapshot().devices).toMatchObject([
      { status: "quarantined", lastFailure: "canary of a did not finish within 1000 ms" },
    ]);
    await pool.close();
  });

  it("a device whose workers have to be ended again and again is counted as failing", async () => {
    const { pool, workers } = await open({ cancelGrace: 10, quarantineAfter: 2 });
    workers.behaviour.heeds = false;
    for (const _ of [1, 2]) {
      watch(pool.run("m", 1, { deadline: 50 }));
      await clock.advance(60);
    }
    expect(pool.snapshot().devices).toMatchObject([{ status: "restarting", failuresInARow: 1 }]);
    await pool.close();
  });

  it("takes a device out once it has ended what it runs, and refuses one it does not know", async () => {
    const { pool, workers } = await open({}, [
      { id: "a", capacity: 1 },
      { id: "b", capacity: 1 },
    ]);
    const running = pool.run("m", 1);
    const drained = watch(pool.drainDevice("a").then(() => "out"));
    const next = pool.run("m", 2);
    expect(runs(workers)).toEqual(["run 1 on a", "run 2 on b"]);
    await clock.advance("1h");
    expect(drained.value).toBeUndefined();
    workers.succeed(1);
    await running;
    await clock.advance(0);
    expect(drained.value).toBe("out");
    expect(pool.snapshot()).toMatchObject({ capacity: 1, devices: [{ status: "closed" }, { status: "up" }] });
    workers.succeed(2);
    await next;
    await expect(pool.drainDevice("c")).rejects.toMatchObject({ code: "UNKNOWN_DEVICE" });
    await pool.close();
  });
});

describe("classifyFailure", () => {
  it("reads what CUDA, cuDNN and the driver say, also in causes and codes", () => {
    const of = (message: string, more: object = {}): string =>
      classifyFailure(Object.assign(new Error(message), more));
    expect(of("CUDA error: device-side assert triggered")).toBe("restart");
    expect(of("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")).toBe("restart");
    expect(of("Xid 13, Graphics Exception")).toBe("restart");
    expect(of("NVRM: Xid (PCI:0000:00:1e): 48, pid=1, Double Bit ECC Error")).toBe("quarantine");
    // An Xid that says nothing about the device.
    expect(of("Xid 32, Invalid or corrupted push buffer stream")).toBe("item");
    expect(of("uncorrectable ECC error encountered")).toBe("quarantine");
    expect(of("HIP out of memory. Tried to allocate 20.00 MiB")).toBe("out-of-memory");
    expect(of("failed", { code: "RESOURCE_EXHAUSTED" })).toBe("out-of-memory");
    expect(of("wrapped", { cause: new Error("CUDA error: unspecified launch failure") })).toBe("restart");
    expect(of("no such colour")).toBe("item");
    expect(
      of("torch.OutOfMemoryError: Allocation on device 0 would exceed allowed memory. (out of memory)"),
    ).toBe("out-of-memory");
    expect(of("CUDA failure 700: an illegal memory access was encountered ; GPU=0")).toBe("restart");
    expect(
      of(
        "Non-zero status code returned while running Conv node. Status Message: CUDA error: misaligned address",
      ),
    ).toBe("restart");
  });

  it("goes by what a runtime says, not by what it may be quoted for, and never by an answer 4xx", () => {
    const quoted = 'the text "CUDA error: device-side assert triggered" is too long; GPU is lost';
    expect(classifyFailure(new Error(quoted))).toBe("item");
    expect(classifyFailure(new ModelFailedError("m", "HTTP_400", "CUDA error: device-side assert"))).toBe(
      "item",
    );
    // Servers put words of their own around it.
    const wrapped =
      "Failed to process the request, message: RuntimeError: CUDA error: device-side assert triggered";
    expect(classifyFailure(new ModelFailedError("m", "HTTP_500", wrapped))).toBe("restart");
    expect(classifyFailure(new Error(wrapped))).toBe("item");
  });
});

import { setTimeout as sleep } from "node:timers/promises";
import type {
  GpuPool,
  GpuPoolOptions,
  ModelOptions,
  RunModelOptions,
  WorkerAdapter,
} from "@holdfast/gpu-pool";
import { gpuPool } from "@holdfast/gpu-pool";
import { childProcesses, childProcessProvider } from "@holdfast/gpu-pool/child-processes";
import { workerThreads } from "@holdfast/gpu-pool/worker-threads";
import { afterEach, describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";

const module = new URL("fixtures/batch-models.mjs", import.meta.url);
const NAMES = ["together", "picky", "exact", "hungry", "sticky", "bytes"];
const PLAIN = ["tight", "wait", "pid", "device", "buffer", "freeze", "exit", "leak"];

const pools: GpuPool[] = [];
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close({ within: 0 })));
});

function open(workers: WorkerAdapter, options: Partial<GpuPoolOptions> = {}): GpuPool {
  const models: ModelOptions[] = [
    ...NAMES.map((name) => ({ name, maxBatch: 8, maxDelay: 30 })),
    ...PLAIN.map((name) => ({ name })),
  ];
  const pool = gpuPool({ workers, models, ...options });
  pools.push(pool);
  return pool;
}

const processes = (count = 1): WorkerAdapter =>
  childProcesses({ module, devices: count, execArgv: ["--max-old-space-size=64"] });

const gone = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
};

describe.each([
  ["worker threads", () => workerThreads({ module, count: 1 })],
  ["child processes", () => processes()],
])("batches in %s", (_name, workers) => {
  it("run together, each answered by itself", async () => {
    const pool = open(workers());
    const answers = await Promise.all([1, 2, 3, 4].map((input) => pool.run("together", input)));
    expect(answers).toEqual([1, 2, 3, 4].map((input) => ({ input, batch: 4 })));
  });

  it("[must-survive 39] a bad item fails alone, whether the model names it or just throws", async () => {
    const pool = open(workers());
    for (const model of ["exact", "picky"]) {
      const settled = await Promise.allSettled(["a", "bad", "c"].map((input) => pool.run(model, input)));
      expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
      expect(settled[1]).toMatchObject({ reason: { code: "MODEL_FAILED", message: "no such colour" } });
    }
  });

  it("a model that runs one at a time gets a second try when there was too little memory", async () => {
    const pool = open(workers());
    expect(await pool.run("tight", "once")).toBe("fits");
    await expect(pool.run("tight", "always")).rejects.toMatchObject({
      code: "OUT_OF_MEMORY",
      cause: { code: "MODEL_FAILED", message: /CUDA out of memory/ },
    });
    expect(pool.snapshot().devices).toMatchObject([{ status: "up", failuresInARow: 0 }]);
  });

  it("an input that cannot be cloned fails alone", async () => {
    const pool = open(workers());
    const settled = await Promise.allSettled(
      ["a", () => 1, "c", new Promise(() => {})].map((input) => pool.run("together", input)),
    );
    expect(settled).toMatchObject([
      { value: { input: "a", batch: 2 } },
      {
        reason: {
          code: "MODEL_FAILED",
          reason: "NOT_CLONED",
          message: /together@1.* \(\) => 1 could not be cloned/,
        },
      },
      { value: { input: "c", batch: 2 } },
      { reason: { code: "MODEL_FAILED", reason: "NOT_CLONED" } },
    ]);
    expect(pool.snapshot().devices).toMatchObject([{ status: "up", failuresInARow: 0 }]);
  });

  it("[server#4023] those that do not fit are halved until they do, and all are answered", async () => {
    const pool = open(workers());
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, input) => pool.run("hungry", input) as Promise<{ batch: number }>),
    );
    expect(answers.map(({ batch }) => batch).every((size) => size <= 3)).toBe(true);
    // It has learnt: the next ones fit at once.
    const again = await Promise.all([1, 2].map((input) => pool.run("hungry", input)));
    expect(again).toEqual([1, 2].map((input) => ({ input, batch: 2 })));
  });

  it("[server#3627] a worker whose context is broken is replaced, and the others are served by the next", async () => {
    const pool = open(workers());
    await expect(pool.run("sticky", "bad")).rejects.toMatchObject({ message: /device-side assert/ });
    expect(await pool.run("sticky", "good")).toBe("good");
    expect(pool.snapshot().devices).toMatchObject([{ status: "up", failuresInARow: 0 }]);
  });
});

describe("inputs that are moved to a thread", () => {
  const own = (): [unknown, RunModelOptions] => {
    const bytes = new ArrayBuffer(16);
    return [{ bytes }, { transfer: [bytes] }];
  };

  it("a buffer that two requests give away is the first one's, and fails the other alone", async () => {
    const pool = open(workerThreads({ module, count: 1 }));
    const bytes = new ArrayBuffer(8);
    const settled = await Promise.allSettled([
      pool.run("bytes", { bytes }, { transfer: [bytes] }),
      pool.run("bytes", { bytes }, { transfer: [bytes] }),
      pool.run("bytes", {}),
    ]);
    expect(settled).toMatchObject([
      { value: 8 },
      { reason: { code: "MODEL_FAILED", reason: "NOT_CLONED" } },
      { value: "none" },
    ]);
  });

  it("are not run again without them after a batch that did not fit", async () => {
    const pool = open(workerThreads({ module, count: 1 }));
    const tooMany = await Promise.allSettled([1, 2, 3, 4].map(() => pool.run("bytes", ...own())));
    expect(tooMany).toMatchObject(tooMany.map(() => ({ reason: { code: "OUT_OF_MEMORY" } })));
  });

  it("nor after their thread has died, which costs only those requests", async () => {
    const pool = open(workerThreads({ module, count: 1 }));
    const killed = await Promise.allSettled([
      pool.run("bytes", ...own()),
      pool.run("bytes", { bytes: new ArrayBuffer(4) }),
      pool.run("bytes", { deadly: true }),
    ]);
    expect(killed).toMatchObject([
      { reason: { code: "WORKER_CRASHED" } },
      { value: 4 },
      { reason: { code: "WORKER_CRASHED" } },
    ]);
    expect(await pool.run("bytes", ...own())).toBe(16);
  });

  it("are tried again where they were copied after all: in a process", async () => {
    const pool = open(processes());
    const answers = await Promise.all([1, 2, 3, 4].map(() => pool.run("bytes", ...own())));
    expect(answers).toEqual([16, 16, 16, 16]);
  });
});

describe("child processes", () => {
  it("answer hundreds of requests, each its own, over several processes", async () => {
    const pool = open(processes(2));
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, input) => pool.run("buffer", Uint8Array.of(input % 200))),
    );
    expect(answers).toEqual(Array.from({ length: 300 }, (_, input) => Uint8Array.of((input % 200) + 1)));
  });

  it("are told which device they are, and what else their environment says", async () => {
    const pool = open(
      childProcesses({
        module,
        devices: [{ id: "gpu-7", capacity: 1, type: "H100", memoryBytes: 8e10 }],
        env: ({ id }) => ({ MOST: id.slice(4) }),
      }),
    );
    expect(await pool.run("device", 0)).toBe("gpu-7");
    const answers = await Promise.all(Array.from({ length: 7 }, (_, input) => pool.run("hungry", input)));
    expect(answers[0]).toEqual({ input: 0, batch: 7 });
  });

  it("[must-survive 40] that are killed under load cost only what they ran, and are replaced", async () => {
    const pool = open(processes(2), { quarantineAfter: 100 });
    const pid = (await pool.run("pid", 0)) as number;
    const settled = Promise.allSettled(Array.from({ length: 20 }, () => pool.run("wait", 20)));
    await sleep(50);
    process.kill(pid, "SIGKILL");
    const failed = (await settled).filter(({ status }) => status === "rejected");
    expect(failed.length).toBeLessThanOrEqual(1);
    for (const one of failed) expect(one).toMatchObject({ reason: { code: "WORKER_CRASHED" } });
    await expect.poll(() => pool.snapshot().capacity, { timeout: 10_000 }).toBe(2);
    expect(gone(pid)).toBe(true);
  });

  it("[must-survive 40] that are frozen are ended when their request's time is over, and replaced", async () => {
    const pool = open(processes(), { heartbeat: 200, cancelGrace: 100 });
    const pid = (await pool.run("pid", 0)) as number;
    await expect(pool.run("freeze", 0, { deadline: 500 })).rejects.toMatchObject({
      code: "DEADLINE_EXCEEDED",
    });
    expect(await pool.run("wait", 1)).toBe(1);
    expect(gone(pid)).toBe(true);
  });

  it("[must-survive 40] that leak die alone, and their memory with them", async () => {
    const pool = open(processes());
    await expect(pool.run("leak", 0)).rejects.toMatchObject({ code: "WORKER_CRASHED" });
    expect(await pool.run("wait", 1)).toBe(1);
  });

  it("leave no process behind when the pool closes", async () => {
    const pool = open(processes(2));
    await pool.ready();
    const pid = (await pool.run("pid", 0)) as number;
    await pool.close({ within: "1s" });
    expect(gone(pid)).toBe(true);
  });

  it("refuse options that cannot work", () => {
    expect(() => childProcesses({ module, devices: 0 })).toThrow(/"devices"/);
    expect(() => childProcesses({ module: "file" as unknown as URL, devices: 1 })).toThrow(/a URL/);
  });
});

describe("child processes that come and go", () => {
  it(row(184, "are started when they are needed, and end when they are not"), async () => {
    const pool = gpuPool({
      workers: [],
      models: ["pid", "wait"].map((name) => ({ name })),
      autoscale: {
        provider: childProcessProvider({ module }),
        max: 3,
        boot: 200,
        window: 500,
        cooldown: 300,
        downAfter: 300,
        zeroAfter: 500,
      },
    });
    pools.push(pool);
    expect(pool.snapshot().devices).toEqual([]);
    const pid = (await pool.run("pid", 0)) as number;
    const answers = Promise.all(Array.from({ length: 150 }, () => pool.run("wait", 100)));
    await expect.poll(() => pool.snapshot().capacity, { timeout: 10_000 }).toBeGreaterThan(1);
    expect(await answers).toHaveLength(150);
    await expect.poll(() => pool.snapshot().devices.length, { timeout: 10_000 }).toBe(0);
    expect(gone(pid)).toBe(true);
    expect(await pool.run("wait", 1)).toBe(1);
  });
});

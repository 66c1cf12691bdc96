// Real threads and processes whose models are rolled out by another process, under load, while devices are killed.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { ModelEntry, WorkerAdapter } from "@holdfast/gpu-pool";
import { followRegistry, gpuPool, modelRegistry } from "@holdfast/gpu-pool";
import { childProcesses } from "@holdfast/gpu-pool/child-processes";
import { fileModelStore } from "@holdfast/gpu-pool/file";
import { workerThreads } from "@holdfast/gpu-pool/worker-threads";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const MOVER = fileURLToPath(new URL("fixtures/registry-mover.mjs", import.meta.url));
const module = new URL("fixtures/rollout-models.mjs", import.meta.url);

const warmUp = { input: "warm-up" };
const VERSIONS: readonly ModelEntry[] = [
  { name: "greet", version: "1", preload: true, memoryBytes: 10 },
  { name: "greet", version: "2", preload: true, memoryBytes: 10, warmUp },
  { name: "greet", version: "3", preload: true, memoryBytes: 10 },
  { name: "greet", version: "4", warmUp: { ...warmUp, output: { version: 4 } } },
];

interface Answer {
  readonly version: number;
  readonly pid: number;
}

describe.each([
  ["threads", (): WorkerAdapter => workerThreads({ module, count: 2, memoryBytes: 100 })],
  [
    "processes",
    (): WorkerAdapter =>
      childProcesses({
        module,
        devices: [
          { id: "p0", capacity: 2, memoryBytes: 100 },
          { id: "p1", capacity: 2, memoryBytes: 100 },
        ],
      }),
  ],
] as const)("a pool of %s that follows a registry on file", (_, workers) => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "rollout-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it("goes from version to version without losing a request", { timeout: 60_000 }, async () => {
    const path = join(folder, "models.jsonl");
    await using registry = modelRegistry({ store: await fileModelStore({ path, poll: 50 }) });
    for (const entry of VERSIONS) await registry.register(entry);
    await registry.moveAlias("greet@stable", "1");
    await using pool = gpuPool({ workers: workers() });
    await pool.ready();
    await using follower = followRegistry(pool, registry, {
      rollBack: true,
      retry: "1s",
      recordEvery: "200ms",
    });
    await follower.ready();

    const move = (version: string): Promise<unknown> =>
      promisify(execFile)(process.execPath, [MOVER, path, "greet@stable", version]);
    const answers: Answer[] = [];
    const failures: unknown[] = [];
    const over = new AbortController();
    const load = Array.from({ length: 4 }, async () => {
      while (!over.signal.aborted) {
        try {
          answers.push((await pool.run("greet@stable", answers.length)) as Answer);
        } catch (error) {
          failures.push(error);
          await sleep(5);
        }
      }
    });
    const served = (): number | undefined => answers.at(-1)?.version;
    await expect.poll(served, { timeout: 10_000 }).toBe(1);

    await move("2");
    await expect.poll(served, { timeout: 10_000 }).toBe(2);
    // What nothing means any more leaves the devices.
    const resident = (): readonly string[] => pool.snapshot().devices.flatMap((device) => device.loaded);
    await expect.poll(() => new Set(resident()), { timeout: 10_000 }).toEqual(new Set(["greet@2"]));

    for (const broken of ["3", "4"]) {
      await move(broken);
      const version = async () => (await registry.alias("greet@stable"))?.version;
      await expect.poll(version, { timeout: 20_000, interval: 20 }).toBe("2");
      const status = () => follower.snapshot().aliases[0];
      await expect.poll(status, { timeout: 10_000 }).toMatchObject({ status: "serving", serving: "greet@2" });
    }
    const from = answers.length;
    await expect.poll(() => answers.length, { timeout: 10_000 }).toBeGreaterThan(from + 20);
    await expect
      .poll(async () => Object.values((await registry.get("greet@2"))!.profiles)[0], { timeout: 10_000 })
      .toMatchObject({ maxBatch: 1 });
    over.abort();
    await Promise.all(load);
    expect(failures).toEqual([]);
    // Once the new version has answered those that were taken after it was switched to, the old one does not come back.
    const versions = answers.map(({ version }) => version);
    expect(new Set(versions)).toEqual(new Set([1, 2]));
    const lastOld = versions.lastIndexOf(1);
    const firstNew = versions.indexOf(2);
    // Four callers at a time, so an answer of the old one may come that much later.
    expect(lastOld - firstNew).toBeLessThan(8);
  });
});

describe("a pool that follows a registry", () => {
  it("loads what an alias means again after its process was killed", { timeout: 30_000 }, async () => {
    await using registry = modelRegistry();
    await registry.register(VERSIONS[0]!);
    await registry.moveAlias("greet@stable", "1");
    await using pool = gpuPool({ workers: childProcesses({ module, devices: 1 }) });
    await pool.ready();
    await using follower = followRegistry(pool, registry);
    await follower.ready();
    const resident = (): readonly string[] => pool.snapshot().devices.flatMap((device) => device.loaded);
    await expect.poll(resident).toEqual(["greet@1"]);
    const { pid } = (await pool.run("greet@stable", "first")) as Answer;
    expect(pid).not.toBe(process.pid);
    process.kill(pid, "SIGKILL");
    await expect.poll(resident, { interval: 1 }).toEqual([]);
    await expect.poll(resident, { timeout: 10_000 }).toEqual(["greet@1"]);
    expect(await pool.run("greet@stable", "still")).toMatchObject({ input: "still", version: 1 });
  });
});

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gpuPool } from "@holdfast/gpu-pool";
import { childProcesses } from "@holdfast/gpu-pool/child-processes";
import type { NvidiaDevice } from "@holdfast/gpu-pool/discovery";
import { cpuDevices, nvidiaDevices, nvidiaFreeMemory, readNvidiaSmi } from "@holdfast/gpu-pool/discovery";
import { afterEach, describe, expect, it } from "vitest";

// As printed by the tool, in the format that its manual documents.
const GPUS = `0, GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77, NVIDIA A100-SXM4-40GB, 40960, Enabled
1, GPU-8f6d0b6c-2b4f-1f0a-aaaa-0123456789ab, NVIDIA A100-SXM4-40GB, 40960, Disabled
`;
const LIST = `GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 1g.5gb      Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-8f6d0b6c-2b4f-1f0a-aaaa-0123456789ab)
`;
const GIB = 2 ** 30;

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** A command that prints what the tool would, for the arguments it is given. */
function command(script: string): string {
  const folder = mkdtempSync(join(tmpdir(), "smi-"));
  folders.push(folder);
  const file = join(folder, "smi");
  writeFileSync(file, `#!/bin/sh\n${script}`);
  chmodSync(file, 0o755);
  return file;
}

describe("nvidiaDevices", () => {
  it("reads whole GPUs and MIG instances, with what `CUDA_VISIBLE_DEVICES` takes", () => {
    expect(readNvidiaSmi(GPUS, LIST)).toEqual([
      {
        id: "gpu-0-mig-0",
        uuid: "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f",
        type: "NVIDIA A100-SXM4-40GB MIG 3g.20gb",
        capacity: 1,
        memoryBytes: 19 * GIB,
      },
      {
        id: "gpu-0-mig-1",
        uuid: "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb",
        type: "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        capacity: 1,
        memoryBytes: 4 * GIB,
      },
      {
        id: "gpu-1",
        uuid: "GPU-8f6d0b6c-2b4f-1f0a-aaaa-0123456789ab",
        type: "NVIDIA A100-SXM4-40GB",
        capacity: 1,
        memoryBytes: 39 * GIB,
      },
    ]);
  });

  it("knows no memory where the command knows none, and checks what it is told", () => {
    const [gpu] = readNvidiaSmi("0, GPU-1, NVIDIA GB10, [N/A], [N/A]\n");
    expect(gpu).toEqual({ id: "gpu-0", uuid: "GPU-1", type: "NVIDIA GB10", capacity: 1 });
    expect(() => readNvidiaSmi(GPUS, LIST, { capacity: -3 })).toThrow(/"capacity"/);
    expect(() => readNvidiaSmi(GPUS, LIST, { reservedBytes: NaN })).toThrow(/"reservedBytes"/);
  });

  it("asks the command, for the list of instances only where there are some", async () => {
    const whole = command(`echo "0, GPU-1, NVIDIA T4, 15360, [N/A]"; [ "$1" = "-L" ] && exit 9; exit 0`);
    expect(await nvidiaDevices({ command: whole, capacity: 2, reservedBytes: 0 })).toEqual([
      { id: "gpu-0", uuid: "GPU-1", type: "NVIDIA T4", capacity: 2, memoryBytes: 15 * GIB },
    ]);
    const parts = command(`if [ "$1" = "-L" ]; then cat <<E\n${LIST}E\nelse cat <<E\n${GPUS}E\nfi\n`);
    expect(await nvidiaDevices({ command: parts })).toHaveLength(3);
  });

  it("finds none where there is no such command, and says what one that fails has said", async () => {
    expect(await nvidiaDevices({ command: "/no/such/nvidia-smi" })).toEqual([]);
    const broken = command(`echo "Unable to determine the device handle for GPU: GPU is lost" >&2; exit 15`);
    await expect(nvidiaDevices({ command: broken })).rejects.toThrow(/GPU is lost/);
  });
});

describe("nvidiaFreeMemory", () => {
  it("asks for one GPU, and knows nothing where the command knows nothing", async () => {
    const free = command(`[ "$1" = "--id=GPU-1" ] && [ "$2" = "--query-gpu=memory.free" ] && echo 1024`);
    expect(await nvidiaFreeMemory("GPU-1", { command: free })).toBe(GIB);
    expect(await nvidiaFreeMemory("GPU-1", { command: command("echo '[N/A]'") })).toBeUndefined();
    expect(await nvidiaFreeMemory("GPU-1", { command: command("echo") })).toBeUndefined();
    const broken = command(`echo "No devices were found" >&2; exit 6`);
    await expect(nvidiaFreeMemory("MIG-1", { command: broken })).rejects.toThrow(/No devices were found/);
    await expect(nvidiaFreeMemory("", { command: free })).rejects.toMatchObject({ code: "INVALID_OPTION" });
    await expect(nvidiaFreeMemory("GPU-1", { command: free, signal: AbortSignal.abort() })).rejects.toThrow(
      /abort/,
    );
  });

  it("lets a process say what its neighbours on the GPU take, and when they have gone", async () => {
    const smi = command(
      `case "$*" in *memory.free*) cat "$0.free";; *) echo "0, GPU-1, T4, 11264, [N/A]";; esac`,
    );
    const free = (mib: number): void => writeFileSync(`${smi}.free`, `${mib}\n`);
    free(11_264);
    const devices = await nvidiaDevices({ command: smi });
    const pool = gpuPool({
      workers: childProcesses({
        module: new URL("fixtures/gpu-models.mjs", import.meta.url),
        devices,
        env: (device) => ({ CUDA_VISIBLE_DEVICES: (device as NvidiaDevice).uuid, SMI: smi }),
      }),
      heartbeat: 50,
    });
    const foreign = (): unknown => pool.snapshot().devices[0]!.foreignBytes;
    try {
      await pool.ready();
      pool.addModel({ name: "large", memoryBytes: 8 * GIB });
      free(6 * 1_024);
      await expect.poll(foreign, { timeout: 10_000 }).toBe(4 * GIB);
      const answer = pool.run("large", 21);
      expect(pool.snapshot().devices[0]).toMatchObject({ loaded: [], usedBytes: 4 * GIB });
      free(11_264);
      expect(await answer).toBe(42);
      expect(foreign()).toBe(0);
    } finally {
      await pool.close({ within: 0 });
    }
  });
});

describe("cpuDevices", () => {
  it("are devices of a type of their own, which a pool runs on", async () => {
    expect(cpuDevices().length).toBeGreaterThanOrEqual(1);
    expect(() => cpuDevices(0)).toThrow(/"count"/);
    const module = new URL("fixtures/batch-models.mjs", import.meta.url);
    const pool = gpuPool({
      workers: childProcesses({ module, devices: cpuDevices(1) }),
      models: [{ name: "device" }],
    });
    expect(await pool.run("device", 0)).toBe("cpu-0");
    await pool.close({ within: "1s" });
  });
});

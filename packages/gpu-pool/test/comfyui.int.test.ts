import { setTimeout as sleep } from "node:timers/promises";
import type { GpuPool, GpuPoolOptions } from "@holdfast/gpu-pool";
import { gpuPool } from "@holdfast/gpu-pool";
import type { ComfyUiFile, ComfyUiOptions, ComfyUiOutput, ComfyUiProgress } from "@holdfast/gpu-pool/servers";
import { comfyUiServers } from "@holdfast/gpu-pool/servers";
import { afterEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import type { ComfyUiAge } from "./fixtures/comfyui-server.ts";
import { ComfyUiServer } from "./fixtures/comfyui-server.ts";

const ages: readonly ComfyUiAge[] = ["old", "by-id", "new"];

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const node = (class_type: string, inputs: object = {}): { class_type: string; inputs: object } => ({
  class_type,
  inputs,
});
const picture = { prompt: { 1: node("Wait", { ms: 6 }), 2: node("SaveImage", { name: "cat.png" }) } };
const endless = { prompt: { 1: node("Hang") } };

async function open(
  age: ComfyUiAge = "new",
  more: Partial<ComfyUiOptions> = {},
  options: Partial<GpuPoolOptions> = {},
): Promise<{ pool: GpuPool; server: ComfyUiServer }> {
  const server = await ComfyUiServer.start(age);
  const workers = comfyUiServers({
    devices: [{ id: "comfy-0", url: server.url, capacity: 2 }],
    webSocket: (url) => new WebSocket(url),
    pollEvery: 200,
    ...more,
  });
  const pool = gpuPool({ workers, models: [{ name: "flux" }], cancelGrace: "5s", ...options });
  closing.push(
    () => pool.close({ within: 0 }),
    () => server.stop(),
  );
  await pool.ready();
  return { pool, server };
}

const isRunning = (server: ComfyUiServer): Promise<void> =>
  expect.poll(() => server.running !== undefined).toBe(true);

describe.each(ages)("a ComfyUI server (%s)", (age) => {
  it("runs a workflow, streams what it reports, and gives its files", async () => {
    const { pool } = await open(age);
    const told: ComfyUiProgress[] = [];
    const output = (await pool.run("flux", picture, {
      onProgress: (value) => told.push(value as ComfyUiProgress),
    })) as ComfyUiOutput;
    expect(output.files).toMatchObject([{ node: "2", filename: "cat.png", mediaType: "image/png" }]);
    const [file] = output.files as [ComfyUiFile];
    expect(new TextDecoder().decode(file.bytes)).toBe("bytes of cat.png");
    expect(told.map(({ type }) => type)).toEqual([
      "started",
      "cached",
      "node",
      "progress",
      "progress",
      "progress",
      "node",
      "output",
    ]);
  });

  it("gives back what is running when it is cancelled, and takes the next", async () => {
    const { pool, server } = await open(age);
    const stop = new AbortController();
    const answer = pool.run("flux", endless, { signal: stop.signal });
    await isRunning(server);
    const id = server.running!.id;
    stop.abort("enough");
    await expect(answer).rejects.toBe("enough");
    await expect.poll(() => server.interrupted).toEqual([id]);
    expect(await pool.run("flux", picture)).toMatchObject({ files: [{ filename: "cat.png" }] });
    expect(pool.snapshot().devices).toMatchObject([{ status: "up", failuresInARow: 0 }]);
  });

  it("[ComfyUI#2566] [ComfyUI#7513] a cancel of one that waits leaves alone what runs, whoever queued it", async () => {
    const { pool, server } = await open(age);
    const neighbour = server.enqueue({ 1: node("Wait", { ms: 300 }) } as never);
    const stop = new AbortController();
    const answer = pool.run("flux", picture, { signal: stop.signal });
    await expect.poll(() => server.pending.length).toBe(1);
    stop.abort("enough");
    await expect(answer).rejects.toBe("enough");
    await expect.poll(() => server.pending.length).toBe(0);
    await expect.poll(() => server.history[neighbour]).toMatchObject({ status: { completed: true } });
    expect(server.interrupted).toEqual([]);
  });

  it("[ComfyUI#7513] a cancel that comes when it has just ended never hits the next", async () => {
    const { pool, server } = await open(age);
    for (let round = 0; round < 12; round += 1) {
      const neighbours = [1, 2].map(() => server.enqueue({ 1: node("Wait", { ms: 9 }) } as never));
      const stop = new AbortController();
      const answer = pool
        .run("flux", { prompt: { 1: node("Wait", { ms: 3 }) } }, { signal: stop.signal })
        .catch(() => {});
      neighbours.push(server.enqueue({ 1: node("Wait", { ms: 9 }) } as never));
      await sleep(round * 4);
      stop.abort();
      await answer;
      for (const id of neighbours)
        await expect.poll(() => server.history[id]).toMatchObject({ status: { completed: true } });
      await expect.poll(() => server.running).toBeUndefined();
    }
  });

  it("finds a prompt whose answer was lost, and does not queue it again", async () => {
    const { pool, server } = await open(age);
    server.losesAnswer = true;
    expect(await pool.run("flux", picture)).toMatchObject({ files: [{ filename: "cat.png" }] });
    expect(server.log.filter((line) => line === "POST /prompt")).toHaveLength(1);
    expect(Object.keys(server.history)).toHaveLength(1);
  });

  it("[ComfyUI] one that ends while the socket is down is found in the history", async () => {
    const { pool, server } = await open(age);
    const answer = pool.run("flux", { prompt: { 1: node("Wait", { ms: 200 }), 2: node("SaveImage") } });
    await isRunning(server);
    server.dropSockets();
    expect(await answer).toMatchObject({ files: [{ filename: "out.png" }] });
    await expect.poll(() => server.connections).toBeGreaterThan(1);
  });
});

describe("what goes wrong on a ComfyUI server", () => {
  it("a workflow that it refuses fails alone, in its words", async () => {
    const { pool } = await open();
    await expect(pool.run("flux", { prompt: { 1: node("Unknown") } })).rejects.toMatchObject({
      code: "MODEL_FAILED",
      reason: "HTTP_400",
      message: /node Unknown does not exist/,
    });
    expect(await pool.run("flux", picture)).toBeDefined();
  });

  it("a node that throws fails its prompt, with what was thrown", async () => {
    const { pool } = await open();
    await expect(pool.run("flux", { prompt: { 1: node("Fail") } })).rejects.toMatchObject({
      code: "MODEL_FAILED",
      reason: "RangeError",
      message: "Fail: the sampler has no such scheduler",
    });
  });

  it("one that somebody else interrupts says so", async () => {
    const { pool, server } = await open();
    const answer = pool.run("flux", endless);
    const failed = expect(answer).rejects.toMatchObject({ reason: "INTERRUPTED" });
    await isRunning(server);
    await fetch(`${server.url}/interrupt`, { method: "POST", body: "{}" });
    await failed;
  });

  it("a server that comes back without its queue has lost the prompt, and is asked again", async () => {
    const { pool, server } = await open();
    const answer = pool.run("flux", { prompt: { 1: node("Wait", { ms: 300 }), 2: node("SaveImage") } });
    await isRunning(server);
    await server.stop();
    await server.listen();
    expect(await answer).toMatchObject({ files: [{ filename: "out.png" }] });
    expect(server.log.filter((line) => line === "POST /prompt")).toHaveLength(2);
  });

  it("a server that stays away longer than its patience is down", async () => {
    const { pool, server } = await open("new", { patience: 300, pollEvery: 100 });
    const answer = pool.run("flux", endless);
    const failed = expect(answer).rejects.toMatchObject({ code: "WORKER_CRASHED" });
    await isRunning(server);
    await server.stop();
    await failed;
    await server.listen();
    expect(await pool.run("flux", picture)).toBeDefined();
  });

  it("calls that fail for a while cost nothing but time", async () => {
    const { pool, server } = await open("new", { pollEvery: 50 });
    const answer = pool.run("flux", { prompt: { 1: node("Wait", { ms: 100 }), 2: node("SaveImage") } });
    await isRunning(server);
    server.failsWith = 502;
    await sleep(250);
    server.failsWith = undefined;
    expect(await answer).toMatchObject({ files: [{ filename: "out.png" }] });
  });

  it("an answer that is no JSON fails the request that asked", async () => {
    const { pool, server } = await open();
    server.garbles = true;
    await expect(pool.run("flux", picture)).rejects.toMatchObject({ reason: "BAD_ANSWER" });
  });

  it("a deadline stops what runs there", async () => {
    const { pool, server } = await open();
    await expect(pool.run("flux", endless, { deadline: 150 })).rejects.toMatchObject({
      code: "DEADLINE_EXCEEDED",
    });
    await expect.poll(() => server.interrupted.length).toBe(1);
  });

  it("files are bounded, and previews that are too large are left out", async () => {
    const { pool } = await open("new", { maxFileBytes: 8, maxMessageBytes: 1_000 });
    await expect(pool.run("flux", picture)).rejects.toMatchObject({ reason: "TOO_LARGE" });
    const told: ComfyUiProgress[] = [];
    const previews = { 1: node("Preview", { size: 4 }), 2: node("Preview", { size: 10_000 }) };
    await pool.run(
      "flux",
      { prompt: previews },
      { onProgress: (value) => told.push(value as ComfyUiProgress) },
    );
    const shown = told.filter(({ type }) => type === "preview");
    expect(shown).toEqual([{ type: "preview", mediaType: "image/png", image: new Uint8Array(4).fill(7) }]);
  });

  it("files are only named when nobody wants them", async () => {
    const { pool, server } = await open("new", { files: false, maxFileBytes: 8 });
    const { files } = (await pool.run("flux", picture)) as ComfyUiOutput;
    expect(files).toEqual([{ node: "2", filename: "cat.png", subfolder: "", type: "output" }]);
    expect(server.log).not.toContain("GET /view");
  });

  it("a pool that closes takes back what it has there, and lets its memory go", async () => {
    const { pool, server } = await open();
    const cut = pool.run("flux", endless).catch((error: unknown) => error);
    await isRunning(server);
    await pool.close({ within: 0 });
    expect(await cut).toMatchObject({ code: "CLOSED" });
    await expect.poll(() => server.interrupted.length).toBe(1);
    await expect.poll(() => server.sockets.size).toBe(0);
    const idle = await open();
    await idle.pool.close();
    expect(idle.server.log.at(-1)).toBe("POST /free");
  });

  it("options that cannot work are refused", () => {
    const devices = [{ id: "c", url: "http://127.0.0.1:1", capacity: 1 }];
    for (const options of [undefined, null, 5])
      expect(() => comfyUiServers(options as never)).toThrow(expect.objectContaining({ option: "options" }));
    expect(() => comfyUiServers({ device: devices } as never)).toThrow(
      expect.objectContaining({ code: "INVALID_OPTION" }),
    );
    expect(() => comfyUiServers({ devices, webSocket: "ws" as never })).toThrow(/"webSocket"/);
    expect(() => comfyUiServers({ devices, webSocket: (url) => new WebSocket(url), pollEvery: 0 })).toThrow(
      /"pollEvery"/,
    );
  });
});

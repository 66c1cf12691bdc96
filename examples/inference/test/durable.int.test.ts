// The built service is killed in the middle of its work and started again, on each store that outlives it.
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { systemClock } from "@holdfast/core";
import { describe, expect, inject, it, onTestFinished } from "vitest";
import { startPostgres, startRedis } from "../../../tools/services/index.mjs";
import { row } from "../../../tools/systems/row.mjs";
import { decode } from "../src/image/codec.ts";
import type { Task } from "../src/scenario/client.ts";
import { Client } from "../src/scenario/client.ts";
import { asPng, drawn } from "../src/scenario/pictures.ts";

const MAIN = fileURLToPath(new URL("../dist/main.js", import.meta.url));
const JSON_TYPE = "application/json";
/** A second of work for a thread. */
const LONG = JSON.stringify({ prompt: "aurora over a northern island", width: 640, height: 480 });
const SHORT = JSON.stringify({ prompt: "a lake", width: 64, height: 64 });
const PATIENCE_MS = 90_000;

interface Service {
  readonly client: Client;
  readonly child: ChildProcess;
}

async function start(flags: readonly string[]): Promise<Service> {
  const child = spawn(process.execPath, [MAIN, ...flags], {
    env: { ...process.env, PORT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const [line] = (await once(createInterface(child.stdout!), "line")) as [string];
  return { child, client: new Client(/http:\S+/.exec(line)![0], systemClock) };
}

async function kill({ child }: Service): Promise<void> {
  child.kill("SIGKILL");
  await once(child, "exit");
}

/** The task, once it is as wanted. */
async function until(client: Client, address: string, isSo: (task: Task) => boolean): Promise<Task> {
  for (const end = performance.now() + PATIENCE_MS; ; await sleep(50)) {
    const task = await client.get<Task>(address);
    if (isSo(task)) return task;
    expect(performance.now(), `${address} is still ${JSON.stringify(task)}`).toBeLessThan(end);
  }
}

async function survives(flags: readonly string[]): Promise<void> {
  const before = await start(flags);
  const done = await before.client.submit("/v1/tasks", SHORT, JSON_TYPE);
  await until(before.client, done, ({ state }) => state === "completed");
  const picture = await before.client.result(done);
  const running = await before.client.submit("/v1/tasks", LONG, JSON_TYPE);
  await until(
    before.client,
    running,
    ({ state, progress }) => state === "running" && (progress?.done ?? 0) > 0,
  );
  const noisy = asPng(drawn(160, 120, 25));
  const behind: string[] = [];
  for (let strength = 10; strength < 20; strength += 1)
    behind.push(await before.client.submit(`/v1/tasks?op=denoise&strength=${strength}`, noisy, "image/png"));
  await kill(before);

  const after = await start(flags);
  // What had ended is as it was, with its result.
  expect(await after.client.result(done)).toEqual(picture);
  // What ran when the process died is run again, once its lease is over; what waited runs as well.
  const again = await until(after.client, running, ({ done: isDone }) => isDone);
  expect(again).toMatchObject({ state: "completed", attempt: 1, leaseLosses: 1 });
  expect(decode(await after.client.result(running), "image/png")).toMatchObject({
    width: 640,
    height: 480,
  });
  for (const address of behind) {
    await until(after.client, address, ({ state }) => state === "completed");
    expect(decode(await after.client.result(address), "image/png")).toMatchObject({
      width: 160,
      height: 120,
    });
  }
  after.child.kill("SIGTERM");
  expect(await once(after.child, "exit")).toEqual([0, null]);
}

describe("the service, killed in the middle of a task", { timeout: 240_000 }, () => {
  it(row(82, "ends it after it was started again: memory with a journal, which is the default"), async () => {
    const folder = await mkdtemp(join(tmpdir(), "inference-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    await survives(["--journal", join(folder, "new", "tasks.journal")]);
  });

  it.skipIf(!inject("startsRedis"))("ends it after it was started again: Redis", async () => {
    await using server = await startRedis({ appendOnly: true });
    await survives(["--redis", server.url]);
  });

  it.skipIf(!inject("startsPostgres"))("ends it after it was started again: PostgreSQL", async () => {
    await using server = await startPostgres({ durable: true });
    await survives(["--postgres", server.url]);
  });
});

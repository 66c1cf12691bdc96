import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "tsup";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "holdfast-clock-"));
  const entry = { core: fileURLToPath(new URL("../src/index.ts", import.meta.url)) };
  const outExtension = (): { js: string } => ({ js: ".mjs" });
  await build({
    config: false,
    entry,
    outDir: folder,
    outExtension,
    format: "esm",
    dts: false,
    silent: true,
  });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `script`, which sees everything of `@holdfast/core` as `core`, in a process of its own. */
function runScript(script: string): Promise<Ended> {
  const core = pathToFileURL(join(folder, "core.mjs")).href;
  const source = `import * as core from ${JSON.stringify(core)};\n${script}`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", source], { timeout: 20_000 });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  return new Promise((resolve) => {
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

describe("system clock in a process of its own", () => {
  it("[bug 20] lets the process exit although timers are pending", async () => {
    const ended = await runScript(`
      core.systemClock.setTimer("1h", () => console.log("fired"));
      core.systemClock.setTimer("300ms", () => console.log("fired"));
      console.log("set");
    `);
    expect(ended).toMatchObject({ code: 0, stdout: "set\n" });
  });

  it("[bug 20] keeps the process until a keepAlive timer has fired, and no longer", async () => {
    const ended = await runScript(`
      core.systemClock.setTimer("1h", () => console.log("never"));
      core.systemClock.setTimer("50ms", () => console.log("kept"), { keepAlive: true });
      core.systemClock.setTimer("1h", () => console.log("never"));
    `);
    expect(ended).toMatchObject({ code: 0, stdout: "kept\n" });
  });

  it("keeps the process for a keepAlive timer that is due after others, and frees it when that is cancelled", async () => {
    const ended = await runScript(`
      const { systemClock } = core;
      const held = systemClock.setTimer("1h", () => console.log("never"), { keepAlive: true });
      systemClock.setTimer("20ms", () => {
        console.log("still here");
        held.cancel();
      });
    `);
    expect(ended).toMatchObject({ code: 0, stdout: "still here\n" });
  });

  it("a callback that throws is an uncaught exception, and the other timers of its tick run first", async () => {
    const ended = await runScript(`
      process.on("uncaughtException", (error) => console.log("uncaught", error.message));
      const { systemClock } = core;
      const at = systemClock.monotonic() + 20;
      for (const name of ["a", "b", "c"])
        systemClock.setTimer(at - systemClock.monotonic(), () => {
          console.log(name);
          if (name === "a") throw new Error("boom");
        }, { keepAlive: true });
    `);
    expect(ended.code).toBe(0);
    expect(ended.stdout.split("\n").filter(Boolean).sort()).toEqual(["a", "b", "c", "uncaught boom"]);
  });

  it("[bug 11] a timeout of 2^31 ms and more does not fire after a millisecond", async () => {
    const ended = await runScript(`
      const work = () => new Promise((resolve) => setTimeout(resolve, 60, "in time"));
      console.log(await core.timeout(2 ** 31).run(work), await core.timeout("365d").run(work));
    `);
    expect(ended).toMatchObject({ code: 0, stdout: "in time in time\n", stderr: "" });
  });

  it("[bug 19] a thousand calls at once on one signal print no MaxListenersExceededWarning", async () => {
    const ended = await runScript(`
      const { signal } = new AbortController();
      const touch = (context) => new Promise((resolve) => { void context.signal; setTimeout(resolve, 10); });
      const guard = core.timeout("1s");
      await Promise.all(Array.from({ length: 1_000 }, () => guard.run(touch, { signal })));
      console.log("done");
    `);
    expect(ended).toMatchObject({ code: 0, stdout: "done\n", stderr: "" });
  });
});

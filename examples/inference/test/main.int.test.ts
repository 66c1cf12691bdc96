import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const MAIN = fileURLToPath(new URL("../dist/main.js", import.meta.url));

function finished(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ code: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [MAIN, ...args],
      { env: { ...process.env, ...env } },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
    );
  });
}

describe("main", () => {
  it("runs the scenario once, says what came of it, and exits with 0", async () => {
    const { code, stdout } = await finished(["--once"]);
    expect(stdout).toMatch(/8 of 8 steps went well/);
    expect(stdout).not.toContain("FAIL");
    expect(code).toBe(0);
  });

  it("refuses a port that is none", async () => {
    const { code, stderr } = await finished([], { PORT: "http" });
    expect([code, stderr]).toEqual([2, 'PORT must be an integer from 0 to 65535, not "http"\n']);
  });

  it("refuses what it does not know, and two places for its tasks", async () => {
    expect(await finished(["--sqlite", "x"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("--sqlite"),
    });
    expect(await finished(["--memory", "--redis", "redis://h"])).toMatchObject({
      code: 2,
      stderr: "of --memory, --journal, --redis and --postgres only one can be given\n",
    });
  });

  it("takes the next port when its own is taken, and ends in good order when it is told to", async () => {
    const blocker = createServer().listen(0, "127.0.0.1");
    await once(blocker, "listening");
    const { port } = blocker.address() as AddressInfo;
    const child = spawn(process.execPath, [MAIN, "--memory"], {
      env: { ...process.env, PORT: String(port) },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(createInterface(child.stdout), "line")) as [string];
    const opened = Number(/:(\d+)$/.exec(line)?.[1]);
    expect(opened).toBeGreaterThan(port);
    const prompt = JSON.stringify({ prompt: "a lake", width: 320, height: 200 });
    const response = await fetch(`http://127.0.0.1:${opened}/v1/tasks`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: prompt,
    });
    expect(response.status).toBe(202);
    child.kill("SIGTERM");
    const [code] = (await once(child, "exit")) as [number | null];
    blocker.close();
    expect(code).toBe(0);
  });
});

import type { ChildProcessByStdio } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";

const SERVICE = fileURLToPath(new URL("./fixtures/service.mjs", import.meta.url));

type Child = ChildProcessByStdio<null, Readable, null>;
const children: Child[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

/** A running service; its lines one by one. */
async function start(...args: string[]): Promise<{ child: Child; url: string; line(): Promise<string> }> {
  const child = spawn(process.execPath, [SERVICE, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const line = async (): Promise<string> => (await lines.next()).value as string;
  return { child, url: await line(), line };
}

const exit = async (child: Child): Promise<unknown> => ((await once(child, "exit")) as [unknown])[0];

describe("shutdown of a process", () => {
  it("answers what is under way, takes nothing new, ends its parts in order, and exits with 0", async () => {
    const { child, url, line } = await start("10s");
    const answer = fetch(url).then((response) => response.text());
    expect(await line()).toBe("asked");
    const ended = exit(child);
    child.kill("SIGTERM");
    expect(await answer).toBe("answered");
    expect(await line()).toBe("stores closed");
    expect(await ended).toBe(0);
    await expect(fetch(url)).rejects.toThrow();
  });

  it("exits with 1 when a part has not ended within the deadline", async () => {
    const { child } = await start("500ms", "hang");
    const ended = exit(child);
    child.kill("SIGINT");
    expect(await ended).toBe(1);
  });

  it("exits with 1 at once on a second signal", async () => {
    const { child, line } = await start("10m", "hang");
    const ended = exit(child);
    child.kill("SIGTERM");
    // The first signal is being served.
    expect(await line()).toBe("stores closed");
    child.kill("SIGTERM");
    expect(await ended).toBe(1);
  });
});

import { execFile } from "node:child_process";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { expect, inject, it } from "vitest";

const CLI = fileURLToPath(new URL("../dist/cli.js", import.meta.url));

function cli(...args: readonly string[]): Promise<{ readonly code: number; readonly text: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, ...args], { timeout: 20_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), text: stdout + stderr });
    });
  });
}

async function unusedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

it("says why a Redis cannot be reached, and where", async () => {
  const port = await unusedPort();
  const { code, text } = await cli("stats", "-q", "jobs", "--redis", `redis://127.0.0.1:${port}`);
  expect({ code, text }).toEqual({ code: 3, text: `redis: connect ECONNREFUSED 127.0.0.1:${port}\n` });
});

it.skipIf(inject("redisUrl") === "")(
  "warns of a queue that nothing was ever added to: its name may be wrong",
  async () => {
    const { text } = await cli("doctor", "-q", "no-such-queue", "--redis", inject("redisUrl"));
    expect(text).toMatch(/^warning\s+tasks\s+none was ever added here: is that the name of the queue\?$/m);
  },
);

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { claimPort } from "./ports.mjs";

/** @type {string} */
let temporary;
beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), "ports-test-"));
  vi.stubEnv("TMPDIR", temporary);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(temporary, { recursive: true });
});

it("gives no port out twice, although nobody listens on it yet", async () => {
  const claimed = await Promise.all(Array.from({ length: 100 }, () => claimPort()));
  expect(new Set(claimed.map(({ port }) => port)).size).toBe(100);
});

it("gives a port out again after it was given back", async () => {
  const { port, claim } = await claimPort();
  const only = { first: port, last: port };
  await expect(claimPort(only)).rejects.toThrow(`no free port between ${port} and ${port}`);
  rmSync(claim);
  await expect(claimPort(only)).resolves.toEqual({ port, claim });
});

it("gives a port out again when its owner is gone", async () => {
  const { port, claim } = await claimPort();
  writeFileSync(claim, String(spawnSync("true").pid));
  await expect(claimPort({ first: port, last: port })).resolves.toEqual({ port, claim });
});

it("passes over a port that somebody else listens on", async () => {
  const stranger = createServer();
  await new Promise((resolve) => stranger.listen(0, "127.0.0.1", () => resolve(undefined)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (stranger.address());
  await expect(claimPort({ first: port, last: port })).rejects.toThrow("no free port");
  await new Promise((resolve) => stranger.close(resolve));
});

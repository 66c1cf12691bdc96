import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fingerprint, isStamped, stamped } from "./fingerprint.mjs";
import { inBuildOrder } from "./workspace.mjs";

/** @type {string} */
let folder;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bootstrap-test-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("fingerprint", () => {
  beforeEach(() => {
    mkdirSync(join(folder, "src"));
    writeFileSync(join(folder, "src", "index.ts"), "export {};");
  });

  it("changes with the content, the name and the absence of a source", () => {
    const prints = new Set([fingerprint([folder])]);
    writeFileSync(join(folder, "src", "index.ts"), "export { };");
    prints.add(fingerprint([folder]));
    renameSync(join(folder, "src", "index.ts"), join(folder, "src", "main.ts"));
    prints.add(fingerprint([folder]));
    rmSync(join(folder, "src", "main.ts"));
    prints.add(fingerprint([folder]));
    expect(prints.size).toBe(4);
  });

  it("does not change with what a build makes, nor with tests and prose", () => {
    const before = fingerprint([folder]);
    for (const made of ["dist", "node_modules", "test"]) {
      mkdirSync(join(folder, made));
      writeFileSync(join(folder, made, "file.js"), made);
    }
    writeFileSync(join(folder, "README.md"), "# New");
    expect(fingerprint([folder])).toBe(before);
  });

  it("changes with what else it depends on", () => {
    expect(fingerprint([folder], "core:1")).not.toBe(fingerprint([folder], "core:2"));
  });
});

describe("stamped", () => {
  it("leaves no stamp of an earlier success when the work fails", async () => {
    const stampFile = join(folder, "stamps", "core");
    await stamped(stampFile, "print", async () => {});
    expect(isStamped(stampFile, "print")).toBe(true);
    const failing = stamped(stampFile, "print", async () => {
      throw new Error("no disk");
    });
    await expect(failing).rejects.toThrow("no disk");
    expect(isStamped(stampFile, "print")).toBe(false);
  });
});

describe("inBuildOrder", () => {
  const workspace = (/** @type {string} */ name, /** @type {string[]} */ ...needs) => ({
    name,
    folder: name,
    builds: true,
    needs,
  });

  it("puts each workspace behind those it needs", () => {
    const all = [workspace("example", "queue", "core"), workspace("queue", "core"), workspace("core")];
    expect(inBuildOrder(all).map(({ name }) => name)).toEqual(["core", "queue", "example"]);
  });

  it("names workspaces that need each other", () => {
    const ring = [workspace("core"), workspace("a", "b"), workspace("b", "a")];
    expect(() => inBuildOrder(ring)).toThrow("workspaces need each other: a, b");
  });
});

import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { lockFile } from "@holdfast/core/node";
import { modelRegistry } from "@holdfast/gpu-pool";
import { checkModelFile, fileModelStore } from "@holdfast/gpu-pool/file";
import { modelRegistryConformance } from "@holdfast/gpu-pool/testing";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { follow } from "./fixtures/registry-follower.ts";
import { batches, isExplained } from "./fixtures/registry-linearizable.ts";
import { MOST_MODELS } from "./fixtures/registry-model.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-models-"));
let made = 0;
const open = async (path: string) =>
  modelRegistry({ store: await fileModelStore({ path, history: 12 }), maxModels: 5, maxAliases: 4 });

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("fileModelStore", () => {
  modelRegistryConformance(
    { describe, it },
    {
      make: () => open(join(folder, `models-${(made += 1)}.jsonl`)),
      makeOther: () => open(join(folder, `models-${made}.jsonl`)),
    },
  );

  const place = (): string => join(folder, `own-${(made += 1)}.jsonl`);

  it("answers callers of two places as if they had come one after the other", { timeout: 120_000 }, () =>
    fc.assert(
      fc.asyncProperty(batches, async (all) => {
        const path = place();
        const join = async () =>
          modelRegistry({ store: await fileModelStore({ path, history: 3 }), maxModels: MOST_MODELS });
        await isExplained([await join(), await join()], all);
      }),
      { numRuns: 12 },
    ),
  );

  it("has all of it again when it is opened again", async () => {
    const path = place();
    const first = modelRegistry({ store: await fileModelStore({ path }) });
    await first.register({ name: "llama", version: "1", metadata: { note: "kept\n" } });
    await first.recordProfile("llama@1", "H100", {
      perItemMs: 1,
      fixedMs: 2,
      margin: 1.5,
      maxBatch: 8,
      batches: 9,
    });
    await first.moveAlias("llama@stable", "1");
    const [record, alias] = [await first.get("llama@1"), await first.alias("llama@stable")];
    await first.close();
    await using again = modelRegistry({ store: await fileModelStore({ path }) });
    expect(await again.get("llama@stable")).toEqual(record);
    expect(await again.alias("llama@stable")).toEqual(alias);
    expect((await again.register({ name: "llama", version: "1", metadata: { note: "kept\n" } })).isNew).toBe(
      false,
    );
    const { value } = await again.watch({ after: record!.revision }).next();
    expect(value).toMatchObject({ isReset: false, models: [], aliases: [{ alias: "llama@stable" }] });
  });

  it.each([
    ["is cut short", (path: string) => truncateSync(path, readFileSync(path).length - 4)],
    [
      "is cut after a line",
      (path: string) => writeFileSync(path, readFileSync(path, "utf8").split("\n")[0]! + "\n"),
    ],
    ["is something else", (path: string) => writeFileSync(path, "{}\n")],
    ["is full of zeros", (path: string) => writeFileSync(path, Buffer.alloc(500))],
    ["is empty", (path: string) => writeFileSync(path, "")],
  ])("says that the file is damaged when it %s, and leaves it as it is", async (_, damage) => {
    const path = place();
    await using registry = modelRegistry({ store: await fileModelStore({ path }) });
    await registry.register({ name: "llama", version: "1" });
    damage(path);
    const text = readFileSync(path, "utf8");
    await expect(fileModelStore({ path })).rejects.toMatchObject({ code: "REGISTRY_FILE_DAMAGED", path });
    if (!text.startsWith('{"holdfast"'))
      await expect(registry.register({ name: "llama", version: "2" })).rejects.toMatchObject({
        code: "REGISTRY_FILE_DAMAGED",
      });
    expect(readFileSync(path, "utf8")).toBe(text);
  });

  it("is empty again when its file is gone, and says so to those who watch", async () => {
    const path = place();
    await using registry = modelRegistry({ store: await fileModelStore({ path, poll: 20 }) });
    const { record } = await registry.register({ name: "llama", version: "1" });
    const watcher = follow(registry);
    await expect.poll(() => watcher.models.size).toBe(1);
    unlinkSync(path);
    await expect.poll(() => [watcher.resets, watcher.models.size], { timeout: 5_000 }).toEqual([2, 0]);
    const again = await registry.register({ name: "llama", version: "1" });
    expect(again.record.revision).toBeGreaterThan(record.revision);
  });

  it("waits for who changes it, no longer than it may, and no longer than its caller wants", async () => {
    const path = place();
    await using registry = modelRegistry({ store: await fileModelStore({ path, deadline: 100 }) });
    const lock = await lockFile(path);
    const late = registry.register({ name: "llama", version: "1" });
    await expect(late).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
      reason: "locked",
      outcome: "none",
    });
    expect(await registry.get("llama@1")).toBeUndefined();
    const stop = new AbortController();
    const unwanted = registry.register({ name: "llama", version: "1" }, { signal: stop.signal });
    const reason = new Error("not any more");
    setTimeout(() => stop.abort(reason), 10);
    await expect(unwanted).rejects.toBe(reason);
    const waiting = registry.register({ name: "llama", version: "1" });
    if ("release" in lock) await lock.release();
    expect((await waiting).isNew).toBe(true);
  });

  it("says that it is not available when it cannot be read or written", async () => {
    const nowhere = fileModelStore({ path: join(folder, "no such folder", "models.jsonl") });
    await using registry = modelRegistry({ store: await nowhere });
    expect(await registry.get("llama@1")).toBeUndefined();
    await expect(registry.register({ name: "llama", version: "1" })).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
      reason: "io",
    });
  });
});

describe("checkModelFile", () => {
  const path = join(folder, "weights.bin");
  const bytes = Buffer.alloc(300_000, "weights");
  writeFileSync(path, bytes);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const record = async (location: string, digest?: string) => {
    await using registry = modelRegistry();
    const source = { location, ...(digest === undefined ? {} : { sha256: digest }) };
    return (await registry.register({ name: "llama", version: "1", source })).record;
  };

  it("is content with the bytes that were registered, by path and by URL", async () => {
    await checkModelFile(await record(path, sha256));
    await checkModelFile(await record(pathToFileURL(path).href, sha256));
    await checkModelFile(await record("s3://nowhere"));
  });

  it("rejects other bytes, a file that is not there, and when it is told to stop", async () => {
    const other = "0".repeat(64);
    await expect(checkModelFile(await record(path, other))).rejects.toMatchObject({
      code: "MODEL_DIGEST_MISMATCH",
      expected: other,
      found: sha256,
    });
    await expect(checkModelFile(await record(`${path}.gone`, sha256))).rejects.toMatchObject({
      code: "ENOENT",
    });
    const reason = new Error("enough");
    const stopped = checkModelFile(await record(path, sha256), { signal: AbortSignal.abort(reason) });
    await expect(stopped).rejects.toBe(reason);
  });
});

import { mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineTask, handle, memoryStore, queue, worker } from "@holdfast/queue";
import { fileBlobs } from "@holdfast/queue/blobs";
import { offloaded, sweepBlobs } from "@holdfast/queue/codec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { rejection } from "./bench.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "blobs-"));
});
afterEach(() => rm(folder, { recursive: true }));

async function listed(prefix: string): Promise<readonly string[]> {
  const keys = [];
  for await (const { key } of fileBlobs({ folder }).list!(prefix, {})) keys.push(key);
  return keys.toSorted();
}

describe("fileBlobs", () => {
  it("keeps what was put, whatever its key is made of, and lists it by queue", async () => {
    const store = fileBlobs({ folder: join(folder, "deep", "er") });
    const keys = [
      "q/../input-00",
      "q/a:b.c/input-01",
      "q.x/a/result-02",
      `q/${".".repeat(100)}/checkpoint-03`,
    ];
    for (const [at, key] of keys.entries()) await store.put(key, new Uint8Array([at]), {});
    for (const [at, key] of keys.entries()) expect([...(await store.get(key, {}))!]).toEqual([at]);
    const seen = [];
    for await (const { key } of store.list!("q/", {})) seen.push(key);
    expect(seen.toSorted()).toEqual(keys.filter((key) => key.startsWith("q/")).toSorted());
    await store.delete(keys[0]!, {});
    await store.delete(keys[0]!, {});
    expect(await store.get(keys[0]!, {})).toBeUndefined();
  });

  it.each(["", "../x", "q/a/b/c", "/etc/passwd", "q/a/input-zz", "q/%2e%2e/input-00"])(
    "refuses %s as a key",
    async (key) => {
      const error = await rejection(fileBlobs({ folder }).put(key, new Uint8Array(1), {}));
      expect(error).toMatchObject({ code: "INVALID_OPTION" });
      expect(await readdir(folder)).toEqual([]);
    },
  );

  it("is empty without a folder", async () => {
    expect(await listed("nothing/")).toEqual([]);
  });

  it("shows no file that was not finished, and deletes one that has been left for a day", async () => {
    const store = fileBlobs({ folder });
    await store.put("q/a/input-00", new Uint8Array(1), {});
    const left = join(folder, "q", "left.part");
    await writeFile(left, "half");
    expect(await listed("q/")).toEqual(["q/a/input-00"]);
    expect(await readdir(join(folder, "q"))).toHaveLength(2);
    await utimes(left, new Date(0), new Date(0));
    expect(await listed("q/")).toEqual(["q/a/input-00"]);
    expect(await readdir(join(folder, "q"))).toHaveLength(1);
  });

  it("leaves nothing behind when a put is aborted", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    expect(
      (await rejection(fileBlobs({ folder }).put("q/a/input-00", new Uint8Array(1), { signal }))).message,
    ).toBe("enough");
    expect(await listed("q/")).toEqual([]);
  });

  it("holds the payloads of a queue at work, until they are swept", async () => {
    const store = fileBlobs({ folder });
    const large = defineTask<Uint8Array, Uint8Array, Uint8Array>({ name: "large" });
    const images = queue({
      name: "images",
      store: memoryStore(),
      codecs: [offloaded({ store, above: 1_000 })],
    });
    await using _ = worker(images, [handle(large, ({ input }) => input.toReversed())]);
    const bytes = crypto.getRandomValues(new Uint8Array(3_000_000 / 60));
    const { id } = await images.enqueue(large, bytes);
    expect(await images.wait(large, id)).toEqual(bytes.toReversed());
    expect(await sweepBlobs({ queue: images, store, minAge: 0 })).toEqual({ seen: 2, deleted: 0 });
    await images.discard(id);
    expect(await sweepBlobs({ queue: images, store, minAge: 0 })).toEqual({ seen: 2, deleted: 2 });
    expect(await listed("images/")).toEqual([]);
  });
});

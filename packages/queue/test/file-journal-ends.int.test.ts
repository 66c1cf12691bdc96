// What a journal in a file is after an end of any kind: torn, damaged, taken, full, grown.
import { appendFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import type { MemoryStoreOptions, NewTask, QueueStore } from "@holdfast/queue";
import { memoryStore } from "@holdfast/queue";
import type { FileJournalOptions } from "@holdfast/queue/file";
import { fileJournal } from "@holdfast/queue/file";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openJournal } from "../src/file/file-journal.ts";
import type { AppendedFile, JournalFiles } from "../src/file/journal-file.ts";
import { journalFiles } from "../src/file/journal-file.ts";

const LEASE_MS = 60_000;
const IDS = ["a", "b", "c", "d", "e", "f", "g", "h"];

let folder: string;
let made = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "queue-journal-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function freshPath(): string {
  made += 1;
  return join(folder, `${made}.journal`);
}

async function opened(
  path: string,
  options: Partial<FileJournalOptions> = {},
  bounds: MemoryStoreOptions = {},
): Promise<QueueStore> {
  return memoryStore({ journal: await fileJournal({ path, ...options }), ...bounds });
}

function task(id: string, given: Partial<NewTask> = {}): NewTask {
  const input = { text: `"${id}"`, blobs: [] };
  const limits = {
    delayMs: 0,
    priority: 0,
    maxAttempts: 3,
    maxLeaseLosses: 5,
    keepMs: 1e9,
    keepFailedMs: 1e9,
  };
  return { id, name: "work", input, ...limits, ...given };
}

function add(store: QueueStore, ...tasks: readonly NewTask[]): ReturnType<QueueStore["enqueue"]> {
  return store.enqueue("q", tasks, { limit: 1_000_000 });
}

async function claim(store: QueueStore, max: number = 1) {
  return store.claim("q", { worker: "w", max, leaseMs: LEASE_MS });
}

async function states(store: QueueStore): Promise<readonly (string | undefined)[]> {
  return (await store.get("q", IDS)).map((status) => status?.state);
}

describe("a store that is opened again", () => {
  it("has everything: tasks in every state, results with bytes, checkpoints, children, turns, limits, schedules", async () => {
    const path = freshPath();
    const before = await opened(path);
    const bytes = { text: '{"$blob":0}', blobs: [new Uint8Array([0, 1, 255])] };
    await add(before, task("a", { input: bytes, meta: "m" }), task("b"), task("c"), task("d"));
    const [a, b, c, d] = await claim(before, 4);
    await before.checkpoint("q", a!, [{ name: "step", value: bytes }]);
    await before.settle("q", [
      { ...ref(a!), kind: "complete", result: bytes },
      { ...ref(b!), kind: "fail", error: { code: "BROKEN", message: "it broke" } },
      { ...ref(c!), kind: "suspend", events: ["go"] },
    ]);
    await before.report("q", [{ ...ref(d!), reports: [{ kind: "progress", value: { done: 1 } }] }]);
    await add(
      before,
      task("e", { waitsForChildren: true }),
      task("f", { parent: "e", group: "g", groupLimit: { concurrency: 1, rate: { tasks: 1, perMs: 1e7 } } }),
      task("g", { parent: "e", group: "g", delayMs: 1e6, expireMs: 2e6, tenant: "t", weight: 3 }),
      task("h", { dedupKey: "k", priority: -1 }),
    );
    await before.setSchedule("q", { key: "s", text: "daily", nextAt: 5_000 });
    const events = await before.events("q", "b", 0, 100);
    const seen = await before.get("q", IDS);
    await before.close();

    const after = await opened(path);
    const expected = seen.map((status) =>
      // Its worker has died.
      status?.id === "d"
        ? expect.objectContaining({ state: "ready", leaseLosses: 1, progress: { done: 1 } })
        : status,
    );
    expect(await after.get("q", IDS)).toEqual(expected);
    expect(await after.result("q", "a")).toEqual(bytes);
    expect(await after.checkpoints("q", "a")).toEqual([{ name: "step", value: bytes }]);
    expect(await after.events("q", "b", 0, 100)).toEqual(events);
    expect(await after.schedules("q")).toEqual([{ key: "s", text: "daily", nextAt: 5_000 }]);
    expect((await after.children("q", "e")).map(({ id }) => id)).toEqual(["f", "g"]);
    expect(await add(after, task("other", { dedupKey: "k" }))).toEqual({
      full: false,
      outcomes: [{ outcome: "duplicate", id: "h" }],
    });
    const again = await claim(after, 10);
    expect(again.map(({ id }) => id)).toEqual(["d", "f", "h"]);
    expect(again[0]!.fence).toBeGreaterThan(d!.fence);
    expect(await after.signal("q", "c", { name: "go", value: bytes })).toBe("delivered");
    await after.settle("q", [{ ...ref(again[1]!), kind: "complete", result: bytes }]);
    expect(await states(after)).toEqual([
      "completed",
      "failed",
      "ready",
      "running",
      "waiting",
      "completed",
      "scheduled",
      "running",
    ]);
    await after.cancel("q", ["g"], "no");
    expect((await after.get("q", ["e"]))[0]?.state).toBe("ready");
    await after.close();
  });

  it("keeps a parent waiting for the children that are left, over two more starts", async () => {
    const path = freshPath();
    let store = await opened(path);
    await add(
      store,
      task("a", { waitsForChildren: true }),
      task("b", { parent: "a" }),
      task("c", { parent: "a" }),
    );
    for (const id of ["b", "c"]) {
      expect((await states(store))[0]).toBe("waiting");
      await store.close();
      store = await opened(path);
      await store.cancel("q", [id], "no");
    }
    expect((await states(store))[0]).toBe("ready");
    await store.close();
  });

  it("goes on with its time when the wall clock was turned back", async () => {
    const path = freshPath();
    const clock = manualClock();
    const before = memoryStore({ journal: await fileJournal({ path }), clock });
    await clock.advance(10_000);
    await add(before, task("a", { delayMs: 500 }));
    await before.close();
    const late = manualClock();
    const after = memoryStore({ journal: await fileJournal({ path }), clock: late });
    await late.advance(499);
    expect((await states(after))[0]).toBe("scheduled");
    await late.advance(1);
    expect((await states(after))[0]).toBe("ready");
    await after.close();
  });

  it("lets what was due meanwhile have happened when it was due", async () => {
    const path = freshPath();
    const before = memoryStore({ journal: await fileJournal({ path }), clock: manualClock() });
    await add(
      before,
      task("a", { delayMs: 100 }),
      task("b", { expireMs: 200, keepMs: 1_000 }),
      task("c", { expireMs: 50 }),
    );
    const [status] = await before.get("q", ["a"]);
    await before.close();
    const clock = manualClock();
    await clock.advance(400);
    const after = memoryStore({ journal: await fileJournal({ path }), clock });
    const [a, b, c] = await after.get("q", ["a", "b", "c"]);
    expect([a?.state, b?.state, c?.state]).toEqual(["ready", "cancelled", "cancelled"]);
    expect(b?.state === "cancelled" && b.finishedAt - status!.enqueuedAt).toBe(200);
    await after.close();
  });

  it("does the calls again under the bounds that they were made under, and then keeps what it is to", async () => {
    const path = freshPath();
    const before = await opened(path, {}, { maxEnded: 10 });
    await add(before, ...IDS.map((id) => task(id)));
    await before.cancel("q", IDS.slice(0, 4), "no");
    await add(before, task("a"));
    await before.close();
    const after = await opened(path, {}, { maxEnded: 2 });
    expect(await states(after)).toEqual([
      undefined,
      undefined,
      "cancelled",
      "cancelled",
      ...Array<string>(4).fill("ready"),
    ]);
    await add(after, task("a"));
    await after.close();
    const again = await opened(path, {}, { maxEnded: 1 });
    expect((await states(again)).slice(0, 4)).toEqual(["ready", undefined, undefined, "cancelled"]);
    await again.close();
  });

  it("has nothing of a store that was closed before it did anything, and loses nothing by it", async () => {
    const path = freshPath();
    const before = await opened(path);
    await add(before, task("a"));
    await before.close();
    for (let times = 0; times < 3; times += 1) await (await opened(path)).close();
    const after = await opened(path);
    expect((await states(after))[0]).toBe("ready");
    await after.close();
  });
});

describe("the file of a journal", () => {
  it("may be torn at any byte behind its beginning: what was whole before is there, and it goes on from there", async () => {
    const path = freshPath();
    const before = await opened(path);
    // The end of each record, as it was acknowledged.
    const ends = [(await readWhole(path)).length];
    for (const id of IDS.slice(0, 2)) {
      await add(before, task(id));
      ends.push((await readFile(path)).length);
    }
    await before.close();
    const whole = await readFile(path);
    for (let length = 0; length <= whole.length; length += 1) {
      const torn = freshPath();
      await writeFile(torn, whole.subarray(0, length));
      const store = await opened(torn);
      const there = Math.max(0, ends.filter((end) => end <= length).length - 1);
      const expected = IDS.slice(0, 2).map((_, index) => (index < there ? "ready" : undefined));
      expect((await states(store)).slice(0, 2), `torn at byte ${length}`).toEqual(expected);
      await add(store, task("h"));
      await store.close();
      if (length % 8 === 0) {
        const again = await opened(torn);
        expect((await states(again))[7]).toBe("ready");
        await again.close();
      }
      await rm(torn);
    }
  });

  it("is refused, and left as it is, when it is damaged before its end or is somebody else's", async () => {
    const path = freshPath();
    const before = await opened(path);
    for (const id of IDS) await add(before, task(id));
    await before.close();
    const whole = await readFile(path);
    const lines = whole.toString().split("\n");
    const second = lines[0]!.length + lines[1]!.length + 2;
    const damaged = Buffer.from(whole);
    damaged[second + 20]! ^= 1;
    for (const [bytes, offset] of [
      [damaged, second],
      [Buffer.from("something else\n"), 0],
      [Buffer.from("something else"), 0],
    ] as const) {
      await writeFile(path, bytes);
      await expect(fileJournal({ path })).rejects.toMatchObject({ code: "JOURNAL_DAMAGED", path, offset });
      expect(await readFile(path)).toEqual(bytes);
    }
    await writeFile(path, whole);
    const after = await opened(path);
    expect(await states(after)).toEqual(Array<string>(8).fill("ready"));
    await after.close();
  });

  it("has one owner, in this process too, until that closes; and leaves no lock behind", async () => {
    const path = freshPath();
    const store = await opened(path);
    await expect(fileJournal({ path })).rejects.toMatchObject({ code: "JOURNAL_LOCKED", pid: process.pid });
    await store.close();
    const journals = await Promise.allSettled(Array.from({ length: 8 }, () => fileJournal({ path })));
    const winners = journals.filter((each) => each.status === "fulfilled");
    expect(winners).toHaveLength(1);
    await winners[0]!.value.close();
    const prefix = path.slice(folder.length + 1);
    expect((await readdir(folder)).filter((name) => name.startsWith(`${prefix}.`))).toEqual([]);
  });

  it("is taken from an owner that is dead, also when its lock is torn", async () => {
    const path = freshPath();
    for (const owner of [
      '{"pid":999999999,"started":"x 1"}',
      '{"pid":',
      `{"pid":${process.pid},"started":"x 1"}`,
    ]) {
      await writeFile(`${path}.lock.7`, owner);
      const store = await opened(path);
      expect((await readdir(folder)).filter((name) => name.includes(".lock"))).toEqual([
        `${path.slice(folder.length + 1)}.lock.8`,
      ]);
      await store.close();
    }
  });

  it("does not grow beyond twice what there is, and its bound", async () => {
    const path = freshPath();
    const store = await opened(path, { compactAbove: 4_096, fsync: { every: "10s" } });
    let largest = 0;
    for (let times = 0; times < 500; times += 1) {
      await add(store, task("a", { keepMs: 1e9 }));
      const [held] = await claim(store);
      await store.settle("q", [{ ...ref(held!), kind: "complete", result: { text: "1", blobs: [] } }]);
      await store.discard("q", ["a"]);
      largest = Math.max(largest, (await stat(path)).size);
    }
    expect(largest).toBeLessThan(4_096 + 1_024);
    expect(await store.stats("q")).toMatchObject({ ready: 0, completed: 0 });
    await store.close();
  });

  it("is given to one store", async () => {
    const journal = await fileJournal({ path: freshPath() });
    const store = memoryStore({ journal });
    expect(() => memoryStore({ journal })).toThrow(expect.objectContaining({ code: "CLOSED" }));
    await store.close();
  });

  it("refuses options that are out of range", async () => {
    await expect(fileJournal({ path: "" })).rejects.toThrow(/path/);
    await expect(fileJournal({ path: "x", fsync: "never" as never })).rejects.toThrow(/fsync/);
    await expect(fileJournal({ path: "x", compactAbove: 10 })).rejects.toThrow(/compactAbove/);
  });
});

describe("a disk that fails", () => {
  /** Files of which the writes that are named fail, with part of them written. */
  function failing(path: string, plan: { fails: "append" | "sync" | "replace" | undefined }): JournalFiles {
    const files = journalFiles(path);
    const failure = (): Error => Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    return {
      read: () => files.read(),
      replace: async () => {
        if (plan.fails === "replace") throw failure();
        await files.replace();
      },
      create: async () => {
        const file = await files.create();
        const wrapped: AppendedFile = {
          get size() {
            return file.size;
          },
          append: async (text) => {
            if (plan.fails !== "append") return file.append(text);
            await file.append(text.slice(0, text.length / 2));
            throw failure();
          },
          sync: async () => {
            if (plan.fails === "sync") throw failure();
            await file.sync();
          },
          close: () => file.close(),
        };
        return wrapped;
      },
    };
  }

  const settings = { syncEveryMs: 0, compactAbove: 1 << 20, clock: systemClock };

  it.each(["append", "sync"] as const)(
    "rejects calls with JOURNAL_FAILED when %s fails, those after it too, and keeps what was acknowledged",
    async (fails) => {
      const path = freshPath();
      const plan: Parameters<typeof failing>[1] = { fails: undefined };
      const journal = await openJournal(failing(path, plan), { path, ...settings });
      const store = memoryStore({ journal });
      await add(store, task("a"));
      plan.fails = fails;
      const calls = [add(store, task("b")), add(store, task("c")), store.get("q", ["b"]), claim(store)];
      for (const outcome of await Promise.allSettled(calls))
        expect(outcome).toMatchObject({ status: "rejected", reason: { code: "JOURNAL_FAILED", path } });
      plan.fails = undefined;
      await expect(add(store, task("d"))).rejects.toMatchObject({ code: "JOURNAL_FAILED" });
      await expect(store.stats("q")).rejects.toMatchObject({ code: "JOURNAL_FAILED" });
      await store.close();
      const after = await opened(path);
      const [a, , , d] = await states(after);
      expect(a).toBe("ready");
      expect(d).toBeUndefined();
      await add(after, task("e"));
      await after.close();
      const again = await opened(path);
      expect((await states(again))[4]).toBe("ready");
      await again.close();
    },
  );

  it("goes on in the old file when a new one cannot be written", async () => {
    const path = freshPath();
    const plan: Parameters<typeof failing>[1] = { fails: undefined };
    const journal = await openJournal(failing(path, plan), { path, ...settings, compactAbove: 1_024 });
    const store = memoryStore({ journal });
    await add(store, task("a"));
    plan.fails = "replace";
    for (let times = 0; times < 50; times += 1) {
      await store.signal("q", "a", { name: `${times}`, value: { text: "x".repeat(100), blobs: [] } });
    }
    await store.close();
    const after = await opened(path);
    expect(await after.checkpoints("q", "a")).toHaveLength(50);
    await after.close();
  });

  it("leaves a journal that cannot be written at the start as it was", async () => {
    const path = freshPath();
    const before = await opened(path);
    await add(before, task("a"));
    await before.close();
    const whole = await readFile(path);
    const journal = await openJournal(failing(path, { fails: "append" }), { path, ...settings });
    const store = memoryStore({ journal });
    await expect(states(store)).rejects.toMatchObject({ code: "JOURNAL_FAILED" });
    await store.close();
    expect(await readFile(path)).toEqual(whole);
    const after = await opened(path);
    expect((await states(after))[0]).toBe("ready");
    await after.close();
  });

  it("syncs after a while if it is to, and says so by the next call when that fails", async () => {
    const path = freshPath();
    const clock = manualClock();
    const plan: Parameters<typeof failing>[1] = { fails: undefined };
    const journal = await openJournal(failing(path, plan), { path, ...settings, syncEveryMs: 100, clock });
    const store = memoryStore({ journal, clock });
    await add(store, task("a"));
    plan.fails = "sync";
    await add(store, task("b"));
    await clock.advance(100);
    await expect(add(store, task("c"))).rejects.toMatchObject({ code: "JOURNAL_FAILED" });
    await store.close();
    expect(clock.pendingTimers).toBe(0);
  });
});

it("does not take what follows a whole file for a record of it", async () => {
  const path = freshPath();
  const before = await opened(path);
  await add(before, task("a"));
  await before.close();
  await appendFile(path, "0".repeat(50));
  const after = await opened(path);
  expect((await states(after))[0]).toBe("ready");
  await after.close();
});

function ref({ id, fence }: { readonly id: string; readonly fence: number }) {
  return { id, fence };
}

/** The file once it is there. */
async function readWhole(path: string): Promise<Buffer> {
  for (;;) {
    const bytes = await readFile(path).catch(() => undefined);
    if (bytes !== undefined) return bytes;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

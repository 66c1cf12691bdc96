import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Claim, Settlement, WriteLog } from "@holdfast/cache";
import { writeBehind } from "@holdfast/cache";
import type { FileWriteLogOptions } from "@holdfast/cache/file";
import { fileWriteLog } from "@holdfast/cache/file";
import { writeLogConformance } from "@holdfast/cache/testing";
import { manualClock, seededRandom } from "@holdfast/core/testing";
import fc from "fast-check";
import type { MockInstance } from "vitest";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "write-log-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
const freshPath = (): string => join(folder, `log-${(files += 1)}`);

const put = (log: WriteLog, key: string, value: string): Promise<unknown> =>
  log.append({ key, value, delayMs: 0, maxKeys: 100_000 });
const claimAll = async (log: WriteLog) =>
  (await log.claim({ limit: 1_000, leaseMs: 60_000, early: true })).claims;

describe.each<[string, Partial<FileWriteLogOptions>]>([
  ["fileWriteLog", {}],
  ["fileWriteLog with fsync now and then", { fsync: { every: "10ms" } }],
  ["fileWriteLog that writes its file anew all the time", { compactAbove: 1_024 }],
])("%s", (_, options) => {
  const clock = manualClock();
  writeLogConformance(
    { describe, it },
    {
      make: () => fileWriteLog({ path: freshPath(), clock, ...options }),
      advance: (ms) => clock.advance(ms),
    },
  );
});

describe("a log that is opened again", () => {
  it("has what was acknowledged: newest values, dead letters in their order, attempts, and higher numbers", async () => {
    const path = freshPath();
    let log = await fileWriteLog({ path });
    for (const key of ["a", "b", "c", "d"]) await put(log, key, `${key}1`);
    const claims = await claimAll(log);
    const claimOf = (key: string) => claims.find((claim) => claim.key === key)!;
    await log.settle([
      { ...claimOf("a"), kind: "written" },
      { ...claimOf("d"), kind: "dead", error: "first" },
      { ...claimOf("c"), kind: "dead", error: "second" },
    ]);
    await put(log, "b", "b2");
    await put(log, "e", "e1\n\0\uFFFF");
    const { latest } = await log.stats();
    await log.close();

    log = await fileWriteLog({ path });
    expect(await log.read("a")).toBeUndefined();
    expect(await log.read("b")).toBe("b2");
    expect(await log.read("e")).toBe("e1\n\0\uFFFF");
    expect((await log.deadEntries(10, 0)).map(({ key, error }) => `${key}: ${error}`)).toEqual([
      "d: first",
      "c: second",
    ]);
    const again = await claimAll(log);
    expect(again.map(({ key, attempt }) => [key, attempt])).toEqual([
      ["b", 1],
      ["e", 1],
    ]);
    // Whoever held it before is refused.
    expect(await log.settle([{ ...claimOf("b"), kind: "written" }])).toEqual(["lost"]);
    for (const { fence } of again) expect(fence).toBeGreaterThan(latest);
    await log.settle(
      again.map((claim) => ({ ...claim, kind: "failed" as const, delayMs: 0, counts: true, error: "no" })),
    );
    await log.close();

    log = await fileWriteLog({ path });
    expect((await claimAll(log)).map(({ attempt }) => attempt)).toEqual([2, 2]);
    await log.close();
  });

  it("gives rising numbers though the wall clock was set back", async () => {
    const path = freshPath();
    const fences: number[] = [];
    for (const startMs of [2_000_000_000_000, 1_000_000_000_000, 1_500_000_000_000]) {
      const log = await fileWriteLog({ path, clock: manualClock(startMs) });
      await put(log, "a", "1");
      for (let n = 0; n < 5; n += 1) {
        const [claim] = await claimAll(log);
        fences.push(claim!.fence);
        await log.settle([{ ...claim!, kind: n < 4 ? "released" : "written" }]);
      }
      await log.close();
    }
    expect(fences).toEqual(fences.toSorted((a, b) => a - b));
    expect(new Set(fences).size).toBe(15);
  });

  it("has all that came before a torn end, wherever it was torn", async () => {
    const path = freshPath();
    const log = await fileWriteLog({ path });
    for (let n = 0; n < 2; n += 1) await put(log, `k${n}`, `value ${n}`);
    await log.close();
    const whole = readFileSync(path);
    const lines = whole.toString().trimEnd().split("\n");
    const ends = lines.map((_, at) => Buffer.byteLength(lines.slice(0, at + 1).join("\n")) + 1);
    for (let size = 0; size <= whole.length; size += 1) {
      writeFileSync(path, whole.subarray(0, size));
      const torn = await fileWriteLog({ path });
      // The header, one record for numbers, and the values.
      const kept = lines
        .slice(0, ends.filter((end) => end <= size).length)
        .filter((line) => line.includes('["put"'));
      expect((await torn.stats()).pending, `${size} bytes`).toBe(kept.length);
      await put(torn, "new", "1");
      await torn.close();
      const after = await fileWriteLog({ path });
      expect((await after.stats()).pending, `${size} bytes, then one more`).toBe(kept.length + 1);
      await after.close();
    }
  });

  it("has all that came before an end of garbage", async () => {
    const path = freshPath();
    const log = await fileWriteLog({ path });
    await put(log, "a", "1");
    await log.close();
    appendFileSync(path, Buffer.alloc(5_000));
    const again = await fileWriteLog({ path });
    expect(await again.read("a")).toBe("1");
    await put(again, "b", "1");
    await again.close();
    const last = await fileWriteLog({ path });
    expect(await last.stats()).toMatchObject({ pending: 2 });
    await last.close();
  });

  it("is refused when it is damaged before its end, or no log at all, and nothing is changed", async () => {
    const path = freshPath();
    const log = await fileWriteLog({ path });
    for (const key of ["a", "b", "c"]) await put(log, key, "1");
    await log.close();
    const bytes = readFileSync(path);
    const at = bytes.indexOf('"b"');
    bytes[at + 1] = "x".charCodeAt(0);
    writeFileSync(path, bytes);
    await expect(fileWriteLog({ path })).rejects.toMatchObject({
      code: "WRITE_LOG_DAMAGED",
      offset: bytes.lastIndexOf("\n", at) + 1,
    });
    expect(readFileSync(path)).toEqual(bytes);

    const skipped = await fileWriteLog({ path, damaged: "skip" });
    expect([await skipped.read("a"), await skipped.read("b"), await skipped.read("c")]).toEqual([
      "1",
      undefined,
      "1",
    ]);
    await skipped.close();
    const copies = readdirSync(folder).filter((name) => name.includes("damaged"));
    expect(copies.map((name) => readFileSync(join(folder, name)).equals(bytes))).toEqual([true]);
    await (await fileWriteLog({ path })).close();

    const foreign = freshPath();
    writeFileSync(foreign, "my only copy");
    await expect(fileWriteLog({ path: foreign })).rejects.toMatchObject({
      code: "WRITE_LOG_DAMAGED",
      offset: 0,
    });
    expect(readFileSync(foreign, "utf8")).toBe("my only copy");
  });
});

/** What outlives a crash: values that are pending, and dead letters. */
interface Survivors {
  readonly pending: ReadonlyMap<string, string>;
  readonly dead: ReadonlyMap<string, string>;
}

const keyOfModel = fc.constantFrom("a", "b", "c", "d");
const change = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant("put" as const), key: keyOfModel, size: fc.nat(300) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("claim" as const), limit: fc.integer({ min: 1, max: 3 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom("written" as const, "dead" as const, "failed" as const, "released" as const),
      index: fc.nat(5),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("revive" as const),
      verb: fc.constantFrom("redrive" as const, "discard" as const),
      key: keyOfModel,
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("crash" as const), torn: fc.nat(40) }) },
);
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

/** A log and a model of it, which go through the same; after each crash both must agree. */
class Modelled {
  readonly #pending = new Map<string, string>();
  readonly #dead = new Map<string, string>();
  /** Of each key, the version that a write to the source has to be of to be the last. */
  readonly #newest = new Map<string, number>();
  #claims: Claim[] = [];
  #highest = 0;

  constructor(
    private log: WriteLog,
    private path: string,
  ) {}

  async take(change: Change): Promise<void> {
    if (change.kind === "put") {
      const value = "x".repeat(change.size);
      const { version } = (await put(this.log, change.key, value)) as { readonly version: number };
      this.#newest.set(change.key, version);
      this.#pending.set(change.key, value);
      this.#dead.delete(change.key);
    } else if (change.kind === "claim") {
      const { claims } = await this.log.claim({ limit: change.limit, leaseMs: 60_000, early: true });
      for (const { key, fence, version } of claims) {
        expect(fence).toBeGreaterThan(this.#highest);
        this.#highest = fence;
        this.#newest.set(key, version);
      }
      this.#claims.push(...claims);
    } else if (change.kind === "crash") await this.#crash(change.torn);
    else if (change.kind === "revive") await this.#revive(change.verb, change.key);
    else await this.#settle(change.kind, change.index);
  }

  async close(): Promise<void> {
    await this.log.close();
  }

  /** What is in the file at this moment, and a part of a record behind it, is opened as another file. */
  async #crash(torn: number): Promise<void> {
    const next = freshPath();
    writeFileSync(
      next,
      Buffer.concat([readFileSync(this.path), Buffer.from('0badcafe ["put","a","torn"'.slice(0, torn))]),
    );
    await this.log.close();
    this.path = next;
    this.log = await fileWriteLog({ path: next, compactAbove: 1_024 });
    this.#claims = [];
    const found: Survivors = {
      pending: new Map(await this.#values()),
      dead: new Map((await this.log.deadEntries(100, 0)).map(({ key, value }) => [key, value])),
    };
    expect(found).toEqual({ pending: this.#pending, dead: this.#dead });
  }

  async #values(): Promise<[string, string][]> {
    const found: [string, string][] = [];
    for (const key of ["a", "b", "c", "d"]) {
      const value = await this.log.read(key);
      if (value !== undefined) found.push([key, value]);
    }
    return found;
  }

  async #revive(kind: "redrive" | "discard", key: string): Promise<void> {
    const value = this.#dead.get(key);
    expect(await this.log[kind]([key])).toBe(value === undefined ? 0 : 1);
    if (value === undefined) return;
    this.#dead.delete(key);
    if (kind === "redrive") this.#pending.set(key, value);
  }

  async #settle(kind: "written" | "dead" | "failed" | "released", index: number): Promise<void> {
    const [claim] = this.#claims.splice(index % Math.max(1, this.#claims.length), 1);
    if (claim === undefined) return;
    const { key, fence, version } = claim;
    const ref = { key, fence, version };
    const settlement: Settlement =
      kind === "failed"
        ? { ...ref, kind, delayMs: 0, counts: true, error: "no" }
        : kind === "dead"
          ? { ...ref, kind, error: "no" }
          : { ...ref, kind };
    expect(await this.log.settle([settlement])).toEqual(["ok"]);
    if (this.#newest.get(key) !== version) return;
    const value = this.#pending.get(key)!;
    if (kind === "written" || kind === "dead") this.#pending.delete(key);
    if (kind === "dead") this.#dead.set(key, value);
  }
}

describe("a log that crashes at any moment", () => {
  it("has all that was acknowledged and nothing else, and its fences rise", async () => {
    const property = fc.asyncProperty(fc.array(change, { minLength: 5, maxLength: 60 }), async (plan) => {
      const path = freshPath();
      const modelled = new Modelled(await fileWriteLog({ path, compactAbove: 1_024 }), path);
      for (const one of plan) await modelled.take(one);
      await modelled.take({ kind: "crash", torn: 7 });
      await modelled.close();
    });
    await fc.assert(property, { numRuns: 100 });
  });
});

describe("the disk", () => {
  /** What the log asks of its file, and what it is answered. */
  async function spied(): Promise<{
    log: WriteLog;
    sync: MockInstance<FileHandle["datasync"]>;
    path: string;
  }> {
    const handle = await open(freshPath(), "w");
    const sync = vi.spyOn(Object.getPrototypeOf(handle) as FileHandle, "datasync");
    await handle.close();
    const path = freshPath();
    const log = await fileWriteLog({ path });
    sync.mockClear();
    return { log, sync, path };
  }
  afterEach(() => void vi.restoreAllMocks());

  it("has a write before it is acknowledged, and many of one moment by one call", async () => {
    const { log, sync } = await spied();
    let isOnDisk = false;
    let go = (): void => {};
    sync.mockImplementationOnce(
      () => new Promise((resolve) => (go = () => resolve((isOnDisk = true) as never))),
    );
    const first = put(log, "a", "1").then(() => expect(isOnDisk).toBe(true));
    while (sync.mock.calls.length === 0) await sleep(1);
    const others = Promise.all(Array.from({ length: 200 }, (_, n) => put(log, `k${n}`, "1")));
    go();
    await Promise.all([first, others]);
    expect(sync).toHaveBeenCalledTimes(2);
    const claims = await claimAll(log);
    // Numbers were reserved when the first was given out; what is only tried again after a power cut is not waited for.
    await log.settle(claims.map((claim) => ({ ...claim, kind: "written" as const })));
    expect(sync).toHaveBeenCalledTimes(2);
    await log.close();
  });

  it("that has failed is not believed any more: all calls fail until the log is opened again", async () => {
    const { log, sync, path } = await spied();
    await put(log, "a", "1");
    sync.mockRejectedValueOnce(Object.assign(new Error("EIO: i/o error"), { code: "EIO" }));
    await expect(put(log, "b", "1")).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
      reason: "io",
      outcome: "unknown",
    });
    const refused = { code: "STORE_UNAVAILABLE", reason: "broken", outcome: "none" };
    await expect(put(log, "c", "1")).rejects.toMatchObject(refused);
    await expect(log.read("a")).rejects.toMatchObject(refused);
    await expect(log.stats()).rejects.toMatchObject(refused);
    await log.close();
    const again = await fileWriteLog({ path });
    expect(await again.read("a")).toBe("1");
    expect(await again.read("c")).toBeUndefined();
    await again.close();
  });
});

describe("the file", () => {
  it("is written anew when most of it is old, and holds what it held", async () => {
    const path = freshPath();
    const log = await fileWriteLog({ path, compactAbove: 20_000, fsync: { every: "10ms" } });
    const random = seededRandom(5);
    const model = new Map<string, string>();
    let most = 0;
    for (let n = 0; n < 3_000; n += 1) {
      const key = `k${Math.floor(random() * 20)}`;
      model.set(key, `${n}`);
      await put(log, key, `${n}`);
      if (n % 50 === 0) most = Math.max(most, statSync(path).size);
    }
    expect(most).toBeLessThan(45_000);
    await log.close();
    const again = await fileWriteLog({ path });
    for (const [key, value] of model) expect(await again.read(key)).toBe(value);
    await again.close();
    expect(readdirSync(folder).filter((name) => name.endsWith(".next"))).toEqual([]);
  });

  it("has one owner: another is refused, in this process too, until the first has closed it", async () => {
    const path = freshPath();
    const log = await fileWriteLog({ path });
    await expect(fileWriteLog({ path })).rejects.toMatchObject({
      code: "WRITE_LOG_LOCKED",
      pid: process.pid,
    });
    await put(log, "a", "1");
    await log.close();
    const all = await Promise.allSettled(Array.from({ length: 5 }, () => fileWriteLog({ path })));
    const opened = all.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
    expect(opened).toHaveLength(1);
    expect(await opened[0]!.read("a")).toBe("1");
    await opened[0]!.close();
    expect(readdirSync(folder).filter((name) => name.includes(".lock."))).toEqual([]);
  });

  it("is taken from an owner that is dead, by one of many who come at a time", async () => {
    const path = freshPath();
    await (await fileWriteLog({ path })).close();
    for (let round = 0; round < 20; round += 1) {
      // A process that never was: its number is beyond the largest.
      writeFileSync(`${path}.lock.${round + 1}`, JSON.stringify({ pid: 4_194_305, started: "long ago" }));
      const all = await Promise.allSettled(Array.from({ length: 4 }, () => fileWriteLog({ path })));
      const opened = all.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
      expect(opened).toHaveLength(1);
      await opened[0]!.close();
    }
  });

  it("is flushed by whoever opens it next", async () => {
    const path = freshPath();
    const first = await fileWriteLog({ path });
    await put(first, '"a"', '"1"');
    await first.close();
    const log = await fileWriteLog({ path });
    const written: string[] = [];
    const behind = writeBehind<string, string>({
      log,
      write: (key, value) => void written.push(`${key}=${value}`),
    });
    while (written.length === 0) await sleep(2);
    expect(written).toEqual(["a=1"]);
    await behind.close();
    await log.close();
  });
});

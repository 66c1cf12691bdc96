import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { WriteLog } from "@holdfast/cache";
import { writeBehind } from "@holdfast/cache";
import type { FileWriteLogOptions } from "@holdfast/cache/file";
import { fileWriteLog } from "@holdfast/cache/file";
import { writeLogConformance } from "@holdfast/cache/testing";
import { manualClock, seededRandom } from "@holdfast/core/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

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
      const [claim] = await claimAll(log);
      fences.push(claim!.fence);
      await log.settle([{ ...claim!, kind: "written" }]);
      await log.close();
    }
    expect(fences).toEqual(fences.toSorted((a, b) => a - b));
    expect(new Set(fences).size).toBe(3);
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

  it("takes many writes of one moment with few syncs", async () => {
    const log = await fileWriteLog({ path: freshPath() });
    await Promise.all(Array.from({ length: 500 }, (_, n) => put(log, `k${n}`, "x".repeat(100))));
    expect(await log.stats()).toMatchObject({ pending: 500 });
    await log.close();
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

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { FileLock } from "@holdfast/core/node";
import { lockFile } from "@holdfast/core/node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const OWNER = fileURLToPath(new URL("./fixtures/lock-owner.mjs", import.meta.url));

describe("lockFile", () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "lock-"));
    path = join(folder, "journal");
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function taken(): Promise<FileLock> {
    const lock = await lockFile(path);
    if ("heldBy" in lock) throw new Error(`it belongs to ${lock.heldBy}`);
    return lock;
  }

  it("has one owner at a time, in this process too, and leaves nothing behind", async () => {
    const lock = await taken();
    expect(await lockFile(path)).toEqual({ heldBy: process.pid });
    await lock.release();
    await (await taken()).release();
    expect(await readdir(folder)).toEqual([]);
  });

  it("gives a file to one of many who want it at a time", async () => {
    const locks = await Promise.all(Array.from({ length: 10 }, () => lockFile(path)));
    expect(locks.filter((lock) => "release" in lock)).toHaveLength(1);
  });

  it("belongs to another process for as long as that lives, and to one heir when it was killed", async () => {
    const owner = spawn(process.execPath, [OWNER, path], { stdio: ["ignore", "pipe", "inherit"] });
    await once(owner.stdout, "data");
    expect(await lockFile(path)).toEqual({ heldBy: owner.pid });
    owner.kill("SIGKILL");
    await once(owner, "exit");
    const heirs = await Promise.all(Array.from({ length: 10 }, () => lockFile(path)));
    expect(heirs.filter((lock) => "release" in lock)).toHaveLength(1);
  });

  it("is not kept by a later process with the number of its owner", async () => {
    await writeFile(`${path}.lock.3`, JSON.stringify({ pid: process.pid, started: "another boot 17" }));
    await (await taken()).release();
    expect(await readdir(folder)).toEqual([]);
  });

  it("is nobody's when a power cut has torn it", async () => {
    await writeFile(`${path}.lock.1`, '{"pid":1');
    await (await taken()).release();
    await writeFile(`${path}.lock.1`, "");
    await (await taken()).release();
  });

  it("clears away what those have left who were killed on their way to it, and nobody else's", async () => {
    const gone = spawn(process.execPath, ["-e", ""]);
    await once(gone, "exit");
    await writeFile(`${path}.lock-${gone.pid}-draft`, "");
    await writeFile(`${path}.lock-${process.pid}-draft`, "");
    await (await taken()).release();
    expect(await readdir(folder)).toEqual([`journal.lock-${process.pid}-draft`]);
  });

  it("rejects with what the file system says", async () => {
    await expect(lockFile(join(folder, "missing", "journal"))).rejects.toMatchObject({ code: "ENOENT" });
  });
});

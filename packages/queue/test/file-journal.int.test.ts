// The memory store with a journal in a real file, judged by the contract and by the model.
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import type { QueueJournal, QueueStore } from "@holdfast/queue";
import { memoryStore } from "@holdfast/queue";
import { fileJournal } from "@holdfast/queue/file";
import { queueStoreConformance } from "@holdfast/queue/testing";
import fc from "fast-check";
import { afterAll, beforeAll, describe, it } from "vitest";
import type { TimedStore } from "./follows-reference.ts";
import { followsReference } from "./follows-reference.ts";

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

interface Opened {
  readonly store: QueueStore;
  readonly journal: QueueJournal;
}

async function opened(path: string, clock?: ManualClock, compactAbove?: number): Promise<Opened> {
  const timed = clock === undefined ? {} : { clock };
  const bounded = compactAbove === undefined ? {} : { compactAbove };
  const journal = await fileJournal({ path, ...timed, ...bounded });
  return { store: memoryStore({ journal, ...timed }), journal };
}

/** Lets the disk do what it has to, and then time pass. */
async function advance(clock: ManualClock, journal: () => QueueJournal, ms: number): Promise<void> {
  await journal().kept();
  await clock.advance(ms);
  await journal().kept();
  await clock.advance(0);
}

{
  let clock: ManualClock;
  let current: Opened;
  queueStoreConformance(
    { describe, it },
    {
      make: async () => {
        clock = manualClock();
        current = await opened(freshPath(), clock);
        return current.store;
      },
      advance: (ms) => advance(clock, () => current.journal, ms),
    },
  );
}

describe("any history of a queue with a journal", () => {
  /** A store that dies with its process now and then, and whose file is written anew every few calls. */
  async function mortal(): Promise<TimedStore> {
    const clock = manualClock();
    let path = freshPath();
    let current = await opened(path, clock, 2_048);
    return {
      store: current.store,
      advance: (ms) => advance(clock, () => current.journal, ms),
      restart: async () => {
        // What a process that is killed leaves behind is the file as it is.
        await current.journal.kept();
        const left = freshPath();
        await copyFile(path, left);
        await current.store.close();
        [path, current] = [left, await opened(left, clock, 2_048)];
        return current.store;
      },
    };
  }

  it("goes as in the reference, also when the process dies now and then", { timeout: 300_000 }, async () => {
    await fc.assert(followsReference(mortal, true), { numRuns: 60 });
  });
});

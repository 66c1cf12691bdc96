// The memory store with a journal in a real file, judged by the contract and by the model.
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import type { QueueJournal, QueueStore } from "@holdfast/queue";
import { memoryStore } from "@holdfast/queue";
import { fileJournal } from "@holdfast/queue/file";
import { queueStoreConformance, queueStoreModel } from "@holdfast/queue/testing";
import { afterAll, beforeAll, describe, it } from "vitest";

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
  it("goes as in the reference, also when the process dies now and then", { timeout: 300_000 }, async () => {
    let clock: ManualClock;
    let path: string;
    let current: Opened;
    // Its file is written anew every few calls.
    const open = async (): Promise<QueueStore> => (current = await opened(path, clock, 2_048)).store;
    await queueStoreModel(
      {
        make: () => {
          [clock, path] = [manualClock(), freshPath()];
          return open();
        },
        advance: (ms) => advance(clock, () => current.journal, ms),
        restart: async () => {
          // What a process that is killed leaves behind is the file as it is.
          await current.journal.kept();
          const left = freshPath();
          await copyFile(path, left);
          await current.store.close();
          path = left;
          return open();
        },
      },
      { histories: 60 },
    );
  });
});

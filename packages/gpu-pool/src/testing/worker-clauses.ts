// What every worker does, whatever runs behind it.
import { hasCode } from "@holdfast/core";
import { ConformanceError, ensure } from "@holdfast/core/testing";
import { gpuPool } from "../gpu-pool.ts";
import type { WorkerSubject, WorkerTrial } from "./worker-trial.ts";
import { refOf } from "./worker-trial.ts";

/** A rule of the contract, and what shows that a worker keeps it: it throws if not. */
export interface WorkerClause {
  readonly title: string;
  /** What of a subject it needs. @defaultValue nothing that may be missing */
  readonly needs?: "bad" | "endless" | "streamed" | "fatal" | "measures" | "refusesUnknown";
  readonly check: (trial: WorkerTrial) => Promise<void>;
}

export const workerClauses: readonly WorkerClause[] = [
  {
    title: "devices have IDs of their own, and take at least one batch at a time",
    check: async ({ adapter: { devices } }) => {
      ensure(devices.length > 0, "there is a device");
      ensure(new Set(devices.map(({ id }) => id)).size === devices.length, "no two have the same ID");
      for (const { id, capacity } of devices)
        ensure(Number.isInteger(capacity) && capacity >= 1, `the capacity of ${id} is an integer from 1`);
    },
  },
  {
    title: "a start whose signal has aborted rejects with its reason",
    check: async (trial) => {
      const reason = new Error("not any more");
      ensure((await failureOf(trial.start(AbortSignal.abort(reason)))) === reason, "it is the reason itself");
    },
  },
  {
    title: "a model is loaded, runs, is unloaded, and can be loaded again",
    check: async (trial) => {
      await trial.startLoaded();
      trial.run({ 1: trial.subject.input(1) });
      await trial.succeeds(1, 1);
      await trial.within(trial.worker.unload(trial.model), "it is not unloaded");
      await trial.load();
      trial.run({ 2: trial.subject.input(2) });
      await trial.succeeds(2, 2);
    },
  },
  {
    title: "a model that is asked for twice at a time is there for both, and one unload is enough",
    check: async (trial) => {
      await trial.start();
      await Promise.all([trial.load(), trial.load()]);
      trial.run({ 1: trial.subject.input(1) });
      await trial.succeeds(1, 1);
      await trial.within(trial.worker.unload(trial.model), "it is not unloaded");
    },
  },
  {
    title: "a model that is not served is a typed error, and the worker stays well",
    needs: "refusesUnknown",
    check: async (trial) => {
      await trial.start();
      const error = await failureOf(trial.load(refOf("nobody-serves-this")));
      const isTyped = hasCode(error, "MODEL_FAILED") || hasCode(error, "UNKNOWN_MODEL");
      ensure(isTyped, "it rejects with MODEL_FAILED or UNKNOWN_MODEL");
      await trial.load();
      ensure(trial.told.length === 0, "nothing is told");
    },
  },
  {
    title: "each item of a batch is answered once, under its own ID",
    check: async (trial) => {
      await trial.startLoaded();
      const { input } = trial.subject;
      trial.run({ 7: input(1), 40: input(2), 41: input(3), 1_000_000: input(4) });
      await Promise.all([
        trial.succeeds(7, 1),
        trial.succeeds(40, 2),
        trial.succeeds(41, 3),
        trial.succeeds(1_000_000, 4),
      ]);
      await trial.alive();
      ensure(trial.ends().length === 4, "each is answered once");
    },
  },
  {
    title: "what an item reports comes under its own ID, and before its answer",
    needs: "streamed",
    check: async (trial) => {
      await trial.startLoaded();
      trial.run({ 1: trial.subject.input(1), 2: special(trial.subject.streamed) });
      const [, { type }] = await Promise.all([trial.succeeds(1, 1), trial.ended(2)]);
      ensure(type === "succeeded", "it succeeds");
      await trial.alive();
      const reports = trial.told.filter((one) => one.type === "progress");
      ensure(
        reports.some(({ id }) => id === 2),
        "it reports",
      );
      ensure(!reports.some(({ id }) => id !== 1 && id !== 2), "only what runs is reported on");
      for (const id of [1, 2]) {
        const last = trial.told.findLast((one) => one.id === id);
        ensure(last?.type === "succeeded", "nothing is reported after the answer");
      }
    },
  },
  {
    title: "a bad item fails alone, with a typed error, and the worker stays well",
    needs: "bad",
    check: async (trial) => {
      await trial.startLoaded();
      const { input, bad } = trial.subject;
      trial.run({ 1: input(1), 2: special(bad), 3: input(3) });
      await Promise.all([trial.succeeds(1, 1), trial.succeeds(3, 3)]);
      ensure(hasCode(await trial.fails(2), "MODEL_FAILED"), "it fails with MODEL_FAILED");
      trial.run({ 4: input(4) });
      await trial.succeeds(4, 4);
      ensure(trial.ends().length === 4, "each is answered once");
    },
  },
  {
    title: "a cancel reaches the item that it names, and no other",
    needs: "endless",
    check: async (trial) => {
      await trial.startLoaded();
      const { input, endless } = trial.subject;
      trial.run({ 1: special(endless), 2: special(endless), 3: input(3) });
      trial.worker.cancel(2, "enough");
      await trial.alive();
      ensure(!trial.ends().some(({ id }) => id === 1), "the neighbour still runs");
      trial.worker.cancel(1, "enough");
      await Promise.all([trial.fails(1), trial.fails(2), trial.succeeds(3, 3)]);
      ensure(trial.ends().length === 3, "each is answered once");
    },
  },
  {
    title: "a cancel of what has ended, or never was, does nothing",
    check: async (trial) => {
      await trial.startLoaded();
      trial.run({ 1: trial.subject.input(1) });
      await trial.succeeds(1, 1);
      trial.worker.cancel(1, "late");
      trial.worker.cancel(99, "who?");
      trial.run({ 2: trial.subject.input(2) });
      await trial.succeeds(2, 2);
      ensure(trial.told.filter(({ type }) => type !== "progress").length === 2, "nothing else is told");
    },
  },
  {
    title: "what is free of its memory is told after each sign of life, in bytes",
    needs: "measures",
    check: async (trial) => {
      await trial.startLoaded();
      for (let signs = 0; signs < 2; signs += 1) {
        const before = trial.freeBytes.length;
        await trial.alive();
        await trial.until(() => trial.freeBytes.length > before, "it does not tell what is free");
      }
      const isBytes = (one: number): boolean => Number.isFinite(one) && one >= 0;
      ensure(trial.freeBytes.every(isBytes), "it is a number of bytes from 0");
      ensure(trial.told.length === 0, "nothing else is told");
    },
  },
  {
    title: "a worker that dies says so once, and answers nothing any more",
    needs: "fatal",
    check: async (trial) => {
      await trial.startLoaded();
      trial.run({ 1: special(trial.subject.fatal) });
      const crashes = (): number => trial.told.filter(({ type }) => type === "crashed").length;
      await trial.until(() => crashes() > 0, "it does not say that it is gone");
      await trial.kill();
      await trial.nothingLeft();
      ensure(crashes() === 1, "it says so once");
      ensure(trial.told.at(-1)!.type === "crashed", "nothing is told after it");
    },
  },
  {
    title: "one that is killed is silent from then on, whatever it ran, and may be killed again",
    needs: "endless",
    check: async (trial) => {
      await trial.startLoaded();
      trial.run({ 1: special(trial.subject.endless) });
      await trial.alive();
      const told = trial.told.filter(({ type }) => type !== "progress").length;
      await trial.kill();
      await trial.kill();
      await trial.nothingLeft();
      ensure(trial.told.filter(({ type }) => type !== "progress").length === told, "nothing is told");
    },
  },
  {
    title: "a pool of it closes within its budget, cuts what still runs, and leaves nothing behind",
    needs: "endless",
    check: async (trial) => {
      const { adapter, subject } = trial;
      const pool = gpuPool({ workers: adapter, models: [{ name: subject.model }] });
      try {
        await trial.within(pool.ready(), "no device comes up");
        const first = await trial.within(pool.run(subject.model, subject.input(1)), "it does not answer");
        ensure(subject.isAnswer(first, 1), "it answers");
        const cut = failureOf(pool.run(subject.model, special(subject.endless)));
        const report = await trial.within(pool.close({ within: 20 }), "it does not close");
        ensure(hasCode(await cut, "CLOSED"), "what still ran is rejected with CLOSED");
        ensure(report.cut === 1, "it says that it cut one");
        await trial.nothingLeft();
      } finally {
        await pool.close({ within: 0 });
      }
    },
  },
];

function special(one: WorkerSubject["bad"]): unknown {
  if (one === false) throw new ConformanceError("there is no such input");
  return one.input;
}

function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => new ConformanceError("it does not reject"),
    (error: unknown) => error,
  );
}

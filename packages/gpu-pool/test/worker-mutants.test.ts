// The suite is only as good as the faults it finds: each of these workers must fail it.
import type { Batch, Device, ModelRef, Worker, WorkerAdapter, WorkerEvents } from "@holdfast/gpu-pool";
import { ModelFailedError } from "@holdfast/gpu-pool";
import type { WorkerSubject } from "@holdfast/gpu-pool/testing";
import { workerConformance } from "@holdfast/gpu-pool/testing";
import { describe, expect, it } from "vitest";

/** Keeps the contract, in memory: an answer comes a turn of the event loop later. */
class HonestWorker implements Worker {
  protected readonly running = new Map<number, number>();
  protected isGone = false;

  constructor(protected readonly events: WorkerEvents) {}

  async load({ name, key }: ModelRef): Promise<void> {
    if (name !== "known") throw new ModelFailedError(key, "UNKNOWN_MODEL", `no model ${key}`);
  }

  async unload(): Promise<void> {}

  async check(): Promise<void> {
    this.events.memory(1e9);
  }

  run({ id: batch, items }: Batch): void {
    for (const { id, input } of items) {
      this.running.set(id, batch);
      setImmediate(() => {
        if (this.running.has(id)) this.act(id, input);
      });
    }
  }

  cancel(id: number): void {
    if (this.running.has(id)) this.fail(id);
  }

  async kill(): Promise<void> {
    this.isGone = true;
    this.running.clear();
  }

  protected act(id: number, input: unknown): void {
    if (input === "bad") this.fail(id);
    else if (input === "fatal") this.crash();
    else if (input === "streamed") {
      this.events.progress(id, "half");
      this.succeed(id, "whole");
    } else if (input !== "endless") this.succeed(id, input);
  }

  protected succeed(id: number, output: unknown): void {
    this.running.delete(id);
    this.events.succeeded(id, output);
  }

  protected fail(id: number): void {
    this.running.delete(id);
    this.events.failed(id, new ModelFailedError("known@1", "BAD", "it failed"));
  }

  protected crash(): void {
    this.running.clear();
    this.events.crashed(new Error("gone"));
  }
}

type Made = new (events: WorkerEvents) => Worker;

function adapterOf(Made: Made): WorkerAdapter {
  return {
    kind: "memory",
    devices: [{ id: "a", capacity: 4 }],
    start: async (_device: Device, events, signal) => {
      signal.throwIfAborted();
      return new Made(events);
    },
  };
}

function subjectOf(make: () => WorkerAdapter): WorkerSubject {
  return {
    make,
    model: "known",
    input: (number) => number,
    isAnswer: (output, number) => output === number,
    bad: { input: "bad" },
    endless: { input: "endless" },
    streamed: { input: "streamed" },
    fatal: { input: "fatal" },
    measures: true,
    refusesUnknown: true,
    patienceMs: 100,
  };
}

/** Titles of the clauses that an adapter does not keep. */
async function brokenClauses(make: () => WorkerAdapter): Promise<readonly string[]> {
  const tests: { readonly title: string; readonly body: () => Promise<void> }[] = [];
  workerConformance(
    { describe: (_, body) => body(), it: (title, body) => tests.push({ title, body }) },
    subjectOf(make),
  );
  const failed: string[] = [];
  await Promise.all(tests.map(({ title, body }) => body().catch(() => failed.push(title))));
  return failed;
}

const MUTANTS: Readonly<Record<string, readonly [adapter: () => WorkerAdapter, clause: string]>> = {
  "two devices have one ID": [
    () => ({ ...adapterOf(HonestWorker), devices: ["a", "a"].map((id) => ({ id, capacity: 1 })) }),
    "devices have IDs of their own, and take at least one batch at a time",
  ],
  "a start does not mind its signal": [
    () => ({ ...adapterOf(HonestWorker), start: async (_, events) => new HonestWorker(events) }),
    "a start whose signal has aborted rejects with its reason",
  ],
  "what was unloaded is gone for good": mutant(
    class extends HonestWorker {
      #wasUnloaded = false;
      override async load(model: ModelRef): Promise<void> {
        if (this.#wasUnloaded) throw new ModelFailedError(model.key, "GONE", "gone");
        await super.load(model);
      }
      override async unload(): Promise<void> {
        this.#wasUnloaded = true;
      }
    },
    "a model is loaded, runs, is unloaded, and can be loaded again",
  ),
  "of two loads at a time only one is answered": mutant(
    class extends HonestWorker {
      #loads = 0;
      override load(model: ModelRef): Promise<void> {
        this.#loads += 1;
        return this.#loads === 2 ? new Promise(() => {}) : super.load(model);
      }
    },
    "a model that is asked for twice at a time is there for both, and one unload is enough",
  ),
  "any model is said to be loaded": mutant(
    class extends HonestWorker {
      override async load(): Promise<void> {}
    },
    "a model that is not served is a typed error, and the worker stays well",
  ),
  "an unknown model is an error without a code": mutant(
    class extends HonestWorker {
      override async load({ name }: ModelRef): Promise<void> {
        if (name !== "known") throw new TypeError("undefined is not a function");
      }
    },
    "a model that is not served is a typed error, and the worker stays well",
  ),
  "answers come in the wrong order": mutant(
    class extends HonestWorker {
      override run(batch: Batch): void {
        const inputs = batch.items.map(({ input }) => input).toReversed();
        super.run({ ...batch, items: batch.items.map(({ id }, index) => ({ id, input: inputs[index] })) });
      }
    },
    "each item of a batch is answered once, under its own ID",
  ),
  "an item is answered twice": mutant(
    class extends HonestWorker {
      protected override succeed(id: number, output: unknown): void {
        super.succeed(id, output);
        this.events.succeeded(id, output);
      }
    },
    "each item of a batch is answered once, under its own ID",
  ),
  "the last report comes after the answer": mutant(
    class extends HonestWorker {
      protected override succeed(id: number, output: unknown): void {
        super.succeed(id, output);
        if (output === "whole") this.events.progress(id, "all");
      }
    },
    "what an item reports comes under its own ID, and before its answer",
  ),
  "reports come under another ID": mutant(
    class extends HonestWorker {
      protected override act(id: number, input: unknown): void {
        if (input === "streamed") this.events.progress(id + 1, "quarter");
        super.act(id, input);
      }
    },
    "what an item reports comes under its own ID, and before its answer",
  ),
  "a bad item fails its whole batch": mutant(
    class extends HonestWorker {
      protected override fail(id: number): void {
        const batch = this.running.get(id);
        for (const [other, of] of this.running) if (of === batch) super.fail(other);
      }
      override run(batch: Batch): void {
        super.run({ ...batch, items: batch.items.toSorted((a) => (a.input === "bad" ? -1 : 1)) });
      }
    },
    "a bad item fails alone, with a typed error, and the worker stays well",
  ),
  "a cancel stops the whole batch": mutant(
    class extends HonestWorker {
      override cancel(id: number): void {
        const batch = this.running.get(id);
        for (const [other, of] of this.running) if (of === batch) this.fail(other);
      }
    },
    "a cancel reaches the item that it names, and no other",
  ),
  "a cancel is not heard": mutant(
    class extends HonestWorker {
      override cancel(): void {}
    },
    "a cancel reaches the item that it names, and no other",
  ),
  "a cancel that is late hits": mutant(
    class extends HonestWorker {
      override cancel(id: number): void {
        this.fail(id);
      }
    },
    "a cancel of what has ended, or never was, does nothing",
  ),
  "what is free is never told": mutant(
    class extends HonestWorker {
      override async check(): Promise<void> {}
    },
    "what is free of its memory is told after each sign of life, in bytes",
  ),
  "what is free is told once only": mutant(
    class extends HonestWorker {
      #hasTold = false;
      override async check(): Promise<void> {
        if (!this.#hasTold) this.events.memory(1e9);
        this.#hasTold = true;
      }
    },
    "what is free of its memory is told after each sign of life, in bytes",
  ),
  "what is free is no number": mutant(
    class extends HonestWorker {
      override async check(): Promise<void> {
        this.events.memory(Number.NaN);
      }
    },
    "what is free of its memory is told after each sign of life, in bytes",
  ),
  "its end is told twice": mutant(
    class extends HonestWorker {
      protected override crash(): void {
        super.crash();
        super.crash();
      }
    },
    "a worker that dies says so once, and answers nothing any more",
  ),
  "its end is not told": mutant(
    class extends HonestWorker {
      protected override crash(): void {}
    },
    "a worker that dies says so once, and answers nothing any more",
  ),
  "one that is killed says that it has crashed": mutant(
    class extends HonestWorker {
      override async kill(): Promise<void> {
        if (!this.isGone) this.events.crashed(new Error("killed"));
        await super.kill();
      }
    },
    "one that is killed is silent from then on, whatever it ran, and may be killed again",
  ),
  "a kill never ends": mutant(
    class extends HonestWorker {
      override kill(): Promise<void> {
        return this.running.size > 0 ? new Promise(() => {}) : super.kill();
      }
    },
    "one that is killed is silent from then on, whatever it ran, and may be killed again",
  ),
};

function mutant(Made: Made, clause: string): readonly [() => WorkerAdapter, string] {
  return [() => adapterOf(Made), clause];
}

workerConformance({ describe, it }, { ...subjectOf(() => adapterOf(HonestWorker)), patienceMs: 5_000 });

describe("the suite of workers", () => {
  it.each(Object.entries(MUTANTS))("finds out where %s", async (_, [make, clause]) => {
    expect(await brokenClauses(make)).toContain(clause);
  });

  it("sees what is left behind", async () => {
    const subject = { ...subjectOf(() => adapterOf(HonestWorker)), leftovers: () => 1 };
    const failed: string[] = [];
    const bodies: Promise<unknown>[] = [];
    workerConformance(
      {
        describe: (_, body) => body(),
        it: (title, body) => bodies.push(body().catch(() => failed.push(title))),
      },
      subject,
    );
    await Promise.all(bodies);
    expect(failed).toContain(
      "a pool of it closes within its budget, cuts what still runs, and leaves nothing behind",
    );
  });

  it("leaves out what a subject has no input for", () => {
    const titles: string[] = [];
    workerConformance(
      { describe: (_, body) => body(), it: (title) => titles.push(title) },
      {
        ...subjectOf(() => adapterOf(HonestWorker)),
        bad: false,
        fatal: false,
        endless: false,
        streamed: false,
        measures: false,
      },
    );
    expect(titles.some((title) => /bad|dies|cancel reaches|reports|memory/.test(title))).toBe(false);
    expect(titles.length).toBeGreaterThan(5);
  });
});

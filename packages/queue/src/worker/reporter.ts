// Collects what handlers report, and writes it in batches: one call to the store at a time, for all tasks together.
import type { Queue } from "../queue/queue-contract.ts";
import { answered } from "../store/store-deadline.ts";
import type { LeaseRef, TaskReport, WriteOutcome } from "../store/store.ts";

/** Reports of one task waiting for the store; beyond it the oldest go, as they would from its events. */
const MAX_WAITING = 1_000;

interface Waiting {
  readonly reports: TaskReport[];
  readonly written: Promise<WriteOutcome>;
  readonly settle: (outcome: WriteOutcome) => void;
  readonly fail: (error: unknown) => void;
}

export class Reporter {
  #waiting = new Map<LeaseRef, Waiting>();
  #writing = false;

  constructor(
    private readonly queue: Queue,
    /** How long the store may take to answer, in milliseconds. */
    private readonly patienceMs: number,
  ) {}

  /** Resolves once the store has answered. `lease` is known by identity. */
  add(lease: LeaseRef, report: TaskReport): Promise<WriteOutcome> {
    const waiting = this.#waiting.get(lease) ?? newWaiting();
    const { reports } = waiting;
    if (report.kind === "progress" && reports.at(-1)?.kind === "progress") reports.pop();
    if (reports.length >= MAX_WAITING) reports.shift();
    reports.push(report);
    this.#waiting.set(lease, waiting);
    if (!this.#writing) void this.#write();
    return waiting.written;
  }

  async #write(): Promise<void> {
    this.#writing = true;
    // A loop that reports many times in one go becomes one write.
    await Promise.resolve();
    while (this.#waiting.size > 0) {
      const batch = [...this.#waiting];
      this.#waiting = new Map();
      try {
        const requests = batch.map(([{ id, fence }, { reports }]) => ({ id, fence, reports }));
        const { store, name, clock } = this.queue;
        const outcomes = await answered(store.report(name, requests), this.patienceMs, clock);
        for (const [index, [, waiting]] of batch.entries()) waiting.settle(outcomes[index]!);
      } catch (error) {
        for (const [, waiting] of batch) waiting.fail(error);
      }
    }
    this.#writing = false;
  }
}

function newWaiting(): Waiting {
  let settle!: Waiting["settle"];
  let fail!: Waiting["fail"];
  const written = new Promise<WriteOutcome>((resolve, reject) => {
    settle = resolve;
    fail = reject;
  });
  // Whoever does not await a report must not be ended by it.
  written.catch(() => {});
  return { reports: [], written, settle, fail };
}

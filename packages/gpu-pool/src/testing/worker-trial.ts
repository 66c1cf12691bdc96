// One clause on trial: a worker that is up, and what it has told.
import { systemClock } from "@holdfast/core";
import { ConformanceError, ensure } from "@holdfast/core/testing";
import type { ModelRef } from "../model.ts";
import type { Worker, WorkerAdapter, WorkerEvents } from "../worker.ts";

/** An input that does something, or `false` where no input can. */
export type SpecialInput = { readonly input: unknown } | false;

/** What the suite is run on. */
export interface WorkerSubject {
  /** An adapter for each test. The suite ends every worker that it starts. */
  readonly make: () => WorkerAdapter | Promise<WorkerAdapter>;
  /** The name of a model that its workers serve, as version "1". */
  readonly model: string;
  /** An input for each number. */
  readonly input: (number: number) => unknown;
  /** Whether an output is that for a number, and for no other. */
  readonly isAnswer: (output: unknown, number: number) => boolean;
  /** The model refuses it; its worker is well. */
  readonly bad: SpecialInput;
  /** It runs until it is cancelled. */
  readonly endless: SpecialInput;
  /** It reports progress before it ends. */
  readonly streamed: SpecialInput;
  /** It takes the worker down. */
  readonly fatal: SpecialInput;
  /** Whether it tells how much of its device's memory is free. @defaultValue false */
  readonly measures?: boolean;
  /** Whether a model that is not served cannot be loaded. */
  readonly refusesUnknown: boolean;
  /** What is left of workers that were ended, such as processes or connections. @defaultValue nobody looks */
  readonly leftovers?: () => number | Promise<number>;
  /** How long anything may take, in milliseconds. @defaultValue 10_000 */
  readonly patienceMs?: number;
}

/** What a worker told of an item, in order. */
export interface Told {
  readonly type: "progress" | "succeeded" | "failed" | "outOfMemory" | "crashed";
  /** Of the item or the batch; -1 for the worker itself. */
  readonly id: number;
  /** The output, the progress or the error. */
  readonly value: unknown;
}

export class WorkerTrial {
  readonly told: Told[] = [];
  /** What it has found free of its memory, in order. */
  readonly freeBytes: number[] = [];
  readonly model: ModelRef;
  readonly #waiting = new Set<() => void>();
  #worker: Worker | undefined;
  #nextBatch = 1;

  constructor(
    readonly subject: WorkerSubject,
    readonly adapter: WorkerAdapter,
  ) {
    this.model = refOf(subject.model);
  }

  get worker(): Worker {
    return this.#worker!;
  }

  /** Starts the worker of the first device. */
  async start(signal: AbortSignal = new AbortController().signal): Promise<void> {
    const [device] = this.adapter.devices;
    if (device === undefined) throw new ConformanceError("an adapter has at least one device");
    this.#worker = await this.within(this.adapter.start(device, this.#events(), signal), "it does not start");
  }

  async startLoaded(): Promise<void> {
    await this.start();
    await this.load();
  }

  load(model: ModelRef = this.model): Promise<void> {
    return this.within(this.worker.load(model, new AbortController().signal), `${model.key} is not loaded`);
  }

  /** Runs items of these IDs together. */
  run(items: Readonly<Record<number, unknown>>): void {
    this.worker.run({
      id: this.#nextBatch,
      model: this.model,
      items: Object.entries(items).map(([id, input]) => ({ id: Number(id), input })),
    });
    this.#nextBatch += 1;
  }

  /** How an item ended, once it has. */
  async ended(id: number): Promise<Told> {
    const find = (): Told | undefined => this.ends().find((one) => one.id === id);
    await this.until(() => find() !== undefined, `item ${id} is not answered`);
    return find()!;
  }

  /** How items have ended. */
  ends(): readonly Told[] {
    return this.told.filter(({ type }) => type === "succeeded" || type === "failed");
  }

  async succeeds(id: number, number: number): Promise<void> {
    const { type, value } = await this.ended(id);
    ensure(type === "succeeded", `item ${id} succeeds`);
    ensure(this.subject.isAnswer(value, number), `item ${id} has the answer to its own input`);
  }

  async fails(id: number): Promise<unknown> {
    const { type, value } = await this.ended(id);
    ensure(type === "failed", `item ${id} fails`);
    ensure(value instanceof Error, `item ${id} fails with an Error`);
    return value;
  }

  /** A sign of life: whatever the worker was told before has reached it. */
  alive(): Promise<void> {
    return this.within(this.worker.check(new AbortController().signal), "it gives no sign of life");
  }

  kill(): Promise<void> {
    return this.within(this.worker.kill(), "it is not ended");
  }

  async until(isSo: () => boolean, otherwise: string): Promise<void> {
    if (isSo()) return;
    let look = (): void => {};
    const seen = new Promise<void>((resolve) => {
      look = () => {
        if (isSo()) resolve();
      };
    });
    this.#waiting.add(look);
    try {
      await this.within(seen, otherwise);
    } finally {
      this.#waiting.delete(look);
    }
  }

  async within<T>(work: Promise<T>, otherwise: string): Promise<T> {
    const stop = new AbortController();
    const { patienceMs = 10_000 } = this.subject;
    const late = systemClock.sleep(patienceMs, stop.signal, { keepAlive: true }).then(() => {
      throw new ConformanceError(otherwise);
    });
    late.catch(() => {});
    try {
      return await Promise.race([work, late]);
    } finally {
      stop.abort();
    }
  }

  /** Nothing is left of what was ended. What the system clears away by itself may take a moment. */
  async nothingLeft(): Promise<void> {
    const { leftovers, patienceMs = 10_000 } = this.subject;
    if (leftovers === undefined) return;
    for (let waited = 0; (await leftovers()) > 0; waited += 10) {
      ensure(waited < patienceMs, "nothing of it is left");
      await systemClock.sleep(10, undefined, { keepAlive: true });
    }
  }

  async end(): Promise<void> {
    if (this.#worker !== undefined) await this.kill().catch(() => {});
  }

  #events(): WorkerEvents {
    const lookAgain = (): void => {
      for (const look of this.#waiting) look();
    };
    const tell = (type: Told["type"], id: number, value: unknown): void => {
      this.told.push({ type, id, value });
      lookAgain();
    };
    return {
      progress: (id, value) => tell("progress", id, value),
      succeeded: (id, output) => tell("succeeded", id, output),
      failed: (id, error) => tell("failed", id, error),
      outOfMemory: (batch) => tell("outOfMemory", batch, undefined),
      memory: (freeBytes) => {
        this.freeBytes.push(freeBytes);
        lookAgain();
      },
      crashed: (cause) => tell("crashed", -1, cause),
    };
  }
}

export function refOf(name: string): ModelRef {
  return { key: `${name}@1`, name, version: "1" };
}

// What is recorded of a task's steps: read once when the first step asks, written under the lease.
import { exponential, hasCode } from "@holdfast/core";
import { answered } from "../store/store-deadline.ts";
import type { PayloadOf } from "../task/payload-format.ts";
import type { Payload } from "../task/payload.ts";
import { decodePayload } from "../task/payload.ts";
import type { TaskFailure } from "../task/task-status.ts";
import { TooManyStepsError } from "./errors.ts";
import { STEP_LIMITS } from "./step-contract.ts";
import type { StepHost } from "./step-host.ts";
import { eventCheckpoint } from "./step-names.ts";

/** A step as it is stored. */
export interface StepRecord {
  /** What kind of step it is, such as `run`. */
  readonly kind: string;
  /** Digest of its input. */
  readonly input?: string;
  readonly value?: unknown;
  /** What it failed with for good. */
  readonly error?: TaskFailure;
  /** When it is over: wall time in milliseconds since the epoch. */
  readonly until?: number;
}

/** A name, and what is to be recorded under it. */
export interface Entry {
  readonly name: string;
  readonly record: StepRecord;
}

/** An entry as it is stored, and as it will be read. */
export interface Prepared {
  readonly name: string;
  readonly sealed: Payload;
  readonly opened: Payload;
}

interface Stored {
  readonly sealed: Payload;
  opened?: Payload | Promise<Payload>;
}

interface Batch {
  readonly entries: Prepared[];
  readonly written: Promise<void>;
}

const STORE_BACKOFF = /* @__PURE__ */ exponential({ base: 100, cap: 5_000 });

export class StepJournal {
  readonly #checkpoints = new Map<string, Stored>();
  /** Failures for good that the handler has not gone past yet: it may be the task that they end. */
  #failures: Entry[] = [];
  #loading: Promise<void> | undefined;
  #loadedAt: number | undefined;
  #steps = 0;
  #collecting: Batch | undefined;
  #writing: Promise<void> | undefined;

  constructor(private readonly host: StepHost) {}

  /** Fetches what is recorded, once; a task that has nothing recorded costs no call. */
  load(): Promise<void> {
    return (this.#loading ??= this.host.claimed.checkpoints === 0 ? Promise.resolve() : this.#fetch());
  }

  /** Fetches what is recorded again, unless that was done since then. */
  async loadSince(time: number): Promise<void> {
    if (this.#loadedAt === undefined || this.#loadedAt < time) await (this.#loading = this.#fetch());
  }

  async find(name: string): Promise<StepRecord | undefined> {
    const opened = await this.#open(name);
    return opened === undefined ? undefined : (decodePayload(opened) as StepRecord);
  }

  has(name: string): boolean {
    return this.#checkpoints.has(name);
  }

  /** What was said with an event. */
  async event(event: string): Promise<{ readonly value: unknown } | undefined> {
    const opened = await this.#open(eventCheckpoint(event));
    return opened === undefined ? undefined : { value: decodePayload(opened) };
  }

  /** Names of what is recorded that begin like this, in the order it was recorded. */
  namesOf(prefix: string): readonly string[] {
    return [...this.#checkpoints.keys()].filter((name) => name.startsWith(prefix));
  }

  /** @throws PayloadTooLargeError, UnserializableError, what the codecs throw. */
  async prepare({ name, record }: Entry): Promise<Prepared> {
    const { payloads } = this.host.queue;
    const opened = payloads.encode(record);
    if (payloads.plain) return { name, sealed: opened, opened };
    // A run that is told to stop still records what it has done.
    const signal = this.host.reason === undefined ? this.host.signal : undefined;
    return { name, opened, sealed: await payloads.seal(opened, this.#place(name), signal) };
  }

  /** @throws TooManyStepsError when there is no room for another step. */
  checkRoom(): void {
    const { maxSteps } = STEP_LIMITS;
    if (this.#steps >= maxSteps) throw new TooManyStepsError(this.host.claimed.id, maxSteps);
  }

  /** Notes a failure for good, to be recorded as soon as the handler goes on past it. */
  noteFailure(entry: Entry): void {
    this.#failures.push(entry);
  }

  /** Records the failures that the handler has gone past. */
  async writeFailures(): Promise<void> {
    if (this.#failures.length === 0) return;
    const entries = this.#failures;
    this.#failures = [];
    await this.record(...entries);
  }

  /** Prepares and writes. */
  async record(...entries: readonly Entry[]): Promise<void> {
    await this.write(...(await Promise.all(entries.map((entry) => this.prepare(entry)))));
  }

  /**
   * Records entries in one step; those of one turn, and those that come while others are on their way, go together.
   * Tried again for as long as the lease lasts.
   *
   * @throws LeaseLostError, TaskCancelledError, or what the store failed with.
   */
  async write(...entries: readonly Prepared[]): Promise<void> {
    this.#steps += entries.length;
    const batch = (this.#collecting ??= this.#newBatch());
    batch.entries.push(...entries);
    await batch.written;
  }

  #newBatch(): Batch {
    const entries: Prepared[] = [];
    const written = this.#writeAfter(this.#writing, entries);
    this.#writing = written.catch(() => {});
    return { entries, written };
  }

  async #writeAfter(before: Promise<void> | undefined, entries: readonly Prepared[]): Promise<void> {
    await before;
    this.#collecting = undefined;
    const { queue, claimed } = this.host;
    const lease = { id: claimed.id, fence: claimed.fence };
    const checkpoints = entries.map(({ name, sealed }) => ({ name, value: sealed }));
    this.host.heed(await this.#asked(() => queue.store.checkpoint(queue.name, lease, checkpoints)));
    for (const { name, sealed, opened } of entries) this.#checkpoints.set(name, { sealed, opened });
  }

  async #fetch(): Promise<void> {
    const { queue, claimed } = this.host;
    const startedAt = queue.clock.now();
    const found = await this.#asked(() => queue.store.checkpoints(queue.name, claimed.id));
    for (const { name, value } of found)
      if (!this.#checkpoints.has(name)) this.#checkpoints.set(name, { sealed: value });
    this.#steps = Math.max(this.#steps, found.filter(({ name }) => !name.startsWith("event:")).length);
    this.#loadedAt = startedAt;
  }

  async #open(name: string): Promise<Payload | undefined> {
    const stored = this.#checkpoints.get(name);
    if (stored === undefined) return undefined;
    const { payloads } = this.host.queue;
    if (payloads.plain) return payloads.open(stored.sealed, this.#place(name));
    return (stored.opened ??= payloads.open(stored.sealed, this.#place(name), this.host.signal));
  }

  #place(name: string): PayloadOf {
    return { id: this.host.claimed.id, part: "checkpoint", name };
  }

  /** Asks the store until it answers, the lease is lost or the run is told to stop. */
  async #asked<T>(call: () => Promise<T>): Promise<T> {
    const { queue, patienceMs, random } = this.host;
    for (let failures = 1; ; failures += 1) {
      try {
        return await answered(call(), patienceMs, queue.clock);
      } catch (error) {
        this.host.checkLease();
        const { reason, isOurs, hasEnded } = this.host;
        if (reason !== undefined || !isOurs || hasEnded || hasCode(error, "CLOSED")) throw error;
        const { delayMs } = STORE_BACKOFF.next(failures, 0, random);
        await queue.clock.sleep(delayMs, this.host.signal).catch(() => {});
      }
    }
  }
}

// What is recorded of a task's steps: read once when the first step asks, written under the lease.
import { exponential, hasCode } from "@holdfast/core";
import type { Payload } from "../payload.ts";
import { decodePayload, encodePayload } from "../payload.ts";
import type { Checkpoint } from "../store.ts";
import { answered } from "../store-deadline.ts";
import type { TaskFailure } from "../task-status.ts";
import { STEP_LIMITS } from "./contract.ts";
import { TooManyStepsError } from "./errors.ts";
import { eventCheckpoint } from "./step-names.ts";
import type { StepHost } from "./step-host.ts";

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

interface Batch {
  readonly checkpoints: Checkpoint[];
  readonly written: Promise<void>;
}

const STORE_BACKOFF = /* @__PURE__ */ exponential({ base: 100, cap: 5_000 });

export class StepJournal {
  readonly #checkpoints = new Map<string, Payload>();
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

  find(name: string): StepRecord | undefined {
    const payload = this.#checkpoints.get(name);
    return payload === undefined ? undefined : (decodePayload(payload) as StepRecord);
  }

  /** What was said with an event. */
  event(event: string): { readonly value: unknown } | undefined {
    const payload = this.#checkpoints.get(eventCheckpoint(event));
    return payload === undefined ? undefined : { value: decodePayload(payload) };
  }

  /** Names of what is recorded that begin like this, in the order it was recorded. */
  namesOf(prefix: string): readonly string[] {
    return [...this.#checkpoints.keys()].filter((name) => name.startsWith(prefix));
  }

  /** @throws PayloadTooLargeError, UnserializableError */
  encode({ name, record }: Entry): Checkpoint {
    return { name, value: encodePayload(record, this.host.queue.maxPayloadBytes) };
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
    await this.write(...entries.map((entry) => this.encode(entry)));
  }

  /**
   * Records checkpoints in one step; those of one turn, and those that come while others are on their way, go together.
   * Tried again for as long as the lease lasts.
   *
   * @throws LeaseLostError, TaskCancelledError, or what the store failed with.
   */
  async write(...checkpoints: readonly Checkpoint[]): Promise<void> {
    this.#steps += checkpoints.length;
    const batch = (this.#collecting ??= this.#newBatch());
    batch.checkpoints.push(...checkpoints);
    await batch.written;
  }

  #newBatch(): Batch {
    const checkpoints: Checkpoint[] = [];
    const written = this.#writeAfter(this.#writing, checkpoints);
    this.#writing = written.catch(() => {});
    return { checkpoints, written };
  }

  async #writeAfter(before: Promise<void> | undefined, checkpoints: readonly Checkpoint[]): Promise<void> {
    await before;
    this.#collecting = undefined;
    const { queue, claimed } = this.host;
    const lease = { id: claimed.id, fence: claimed.fence };
    this.host.heed(await this.#asked(() => queue.store.checkpoint(queue.name, lease, checkpoints)));
    for (const { name, value } of checkpoints) this.#checkpoints.set(name, value);
  }

  async #fetch(): Promise<void> {
    const { queue, claimed } = this.host;
    const startedAt = queue.clock.now();
    const found = await this.#asked(() => queue.store.checkpoints(queue.name, claimed.id));
    for (const { name, value } of found) this.#checkpoints.set(name, value);
    this.#steps = Math.max(this.#steps, found.filter(({ name }) => !name.startsWith("event:")).length);
    this.#loadedAt = startedAt;
  }

  /** Asks the store until it answers, the lease is lost or the run is told to stop. */
  async #asked<T>(call: () => Promise<T>): Promise<T> {
    const { queue, patienceMs, random } = this.host;
    for (let failures = 1; ; failures += 1) {
      try {
        return await answered(call(), patienceMs, queue.clock);
      } catch (error) {
        this.host.checkLease();
        const { reason, isOurs, isOver } = this.host;
        if (reason !== undefined || !isOurs || isOver || hasCode(error, "CLOSED")) throw error;
        const { delayMs } = STORE_BACKOFF.next(failures, 0, random);
        await queue.clock.sleep(delayMs, this.host.signal).catch(() => {});
      }
    }
  }
}

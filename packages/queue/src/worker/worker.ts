// A worker: claims tasks, runs their handlers, keeps their leases, and settles them in batches.
import type { Clock, Duration } from "@holdfast/core";
import { exponential, optionsOf, systemRandom } from "@holdfast/core";
import PQueue from "p-queue";
import { NoHandlerError, WorkerClosingError } from "../errors.ts";
import type { Queue } from "../queue/queue-contract.ts";
import { answered, workOrTime } from "../store/store-deadline.ts";
import type { ClaimedTask, ClaimRequest, Settlement } from "../store/store.ts";
import { defineTask } from "../task/task.ts";
import type { TaskHandler } from "./handler.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { Reporter } from "./reporter.ts";
import type { RunSettings } from "./task-run.ts";
import { TaskRun } from "./task-run.ts";
import { TimeLimits } from "./time-limits.ts";
import type {
  RunEndedEvent,
  Worker,
  WorkerCloseReport,
  WorkerErrorEvent,
  WorkerOptions,
} from "./worker-contract.ts";
import { WORKER_DEFAULTS } from "./worker-contract.ts";
import { WorkerNews } from "./worker-news.ts";

/**
 * Starts a worker on a queue.
 *
 * @throws InvalidOptionError when an option is out of range or two handlers are for one task.
 *
 * @example
 * ```ts
 * import { defineTask, handle, memoryStore, queue, worker } from "@holdfast/queue";
 *
 * const double = defineTask<number, number, number>({ name: "double" });
 * const numbers = queue({ name: "numbers", store: memoryStore() });
 * await using working = worker(numbers, [handle(double, ({ input }) => input * 2)]);
 * const { id } = await numbers.enqueue(double, 21);
 * await numbers.wait(double, id); // => 42
 * ```
 */
export function worker(queue: Queue, handlers: readonly TaskHandler[], options: WorkerOptions = {}): Worker {
  return new ClaimingWorker(queue, handlers, options);
}

/** Batches on their way at a time, and how many tasks make a second one worth its call. */
const MAX_SETTLING = 2;
const SECOND_BATCH = 16;

class ClaimingWorker implements Worker {
  readonly name: string;
  readonly #handlers: ReadonlyMap<string, TaskHandler>;
  readonly #settings: RunSettings;
  readonly #concurrency: number;
  readonly #leaseMs: number;
  readonly #clock: Clock;
  /** Has a job for each lane: as many as there have been handlers at a time, which is never more than it has room for. */
  readonly #pool: PQueue;
  /** Lanes without a handler to run. */
  #idleLanes = 0;
  /** Runs whose handlers have not ended, or whose outcome the store has not taken. */
  readonly #held = new Set<TaskRun>();
  readonly #keeper: LeaseKeeper;
  readonly #news: WorkerNews;
  readonly #limits: TimeLimits;
  /** Claim no more. Apart from its signal, which is slow to be asked for each task. */
  #isStopping = false;
  readonly #stop = new AbortController();
  /** Do no more. */
  readonly #end = new AbortController();
  readonly #storeBackoff = exponential({ base: 100, cap: 5_000 });
  #settlements: Ended[] = [];
  /** Batches that are on their way to the store, and how many tasks they are to end. */
  #settling = 0;
  #leaving = 0;
  /** Tasks asked for by claims that the store has not answered. */
  #asked = 0;
  #leftBehind = 0;
  #paused = false;
  /** Ends the wait for room or for the end of a pause. */
  #wake: (() => void) | undefined;
  #onIdle: (() => void) | undefined;
  #closing: Promise<WorkerCloseReport> | undefined;
  #finished = 0;
  #givenBack = 0;

  constructor(
    private readonly queue: Queue,
    handlers: readonly TaskHandler[],
    options: WorkerOptions,
  ) {
    const check = optionsOf("worker");
    const { concurrency, leaseMs, graceMs } = WORKER_DEFAULTS;
    if (!Array.isArray(handlers) || handlers.length === 0)
      check.refuse("handlers", handlers, "an array of at least one handler");
    this.#handlers = new Map(handlers.map((handler) => [handler.task.name, handler]));
    if (this.#handlers.size < handlers.length)
      check.refuse("handlers", handlers, "an array with one handler for each task");
    const limit = { min: 1, max: 100_000 };
    this.#concurrency = check.integer("concurrency", options.concurrency, limit, concurrency);
    this.#leaseMs = check.duration("lease", options.lease, { min: 30 }, leaseMs);
    this.name = check.string("name", options.name, 100, crypto.randomUUID());
    this.#clock = queue.clock;
    this.#settings = {
      clock: queue.clock,
      random: check.function("random", options.random) ?? systemRandom,
      reporter: new Reporter(queue, this.#leaseMs),
      queue,
      worker: this.name,
      patienceMs: this.#leaseMs,
      graceMs: check.duration("grace", options.grace, {}, graceMs),
      onEnd: (run, settlement) => this.#ended(run, settlement),
      onLeft: (run, ended) => this.#left(run, ended),
    };
    this.#news = new WorkerNews(queue.name, this.name, this.#clock);
    this.#pool = new PQueue({ concurrency: this.#concurrency });
    this.#keeper = new LeaseKeeper(queue, this.#held, this.#leaseMs, (error) =>
      this.#news.failed("renew", error),
    );
    this.#limits = new TimeLimits(this.#clock, this.#held);
    void this.#claimLoop();
    void this.#revokedLoop();
  }

  get running(): number {
    return this.#held.size;
  }

  get leftBehind(): number {
    return this.#leftBehind;
  }

  get paused(): boolean {
    return this.#paused;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#changed();
  }

  close(options: { readonly within?: Duration } = {}): Promise<WorkerCloseReport> {
    const within = optionsOf("close").duration("within", options.within, {}, 10_000);
    this.#closing ??= this.#close(within);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(withinMs: number): Promise<WorkerCloseReport> {
    const graceMs = Math.min(this.#settings.graceMs, withinMs / 2);
    const idle = new Promise<void>((resolve) => (this.#onIdle = resolve));
    const timeUp = this.#clock.sleep(withinMs, this.#end.signal, { keepAlive: true }).catch(() => {});
    this.#isStopping = true;
    this.#stop.abort(new WorkerClosingError());
    this.#changed();
    this.#after(withinMs - graceMs, (run) => run.stop("closing", new WorkerClosingError()));
    // Early enough for the store to answer.
    this.#after(withinMs - graceMs / 5, (run) => run.abandon());
    await Promise.race([idle, timeUp]);
    this.#end.abort();
    this.#keeper.stop();
    this.#limits.stop();
    this.#held.clear();
    return { finished: this.#finished, givenBack: this.#givenBack };
  }

  /** Does something to all that is held then, at once if there is no time to wait. */
  #after(ms: number, act: (run: TaskRun) => void): void {
    const actOnAll = (): void => {
      for (const run of this.#held) act(run);
    };
    if (ms <= 0) actOnAll();
    else this.#clock.sleep(ms, this.#end.signal).then(actOnAll, () => {});
  }

  async #claimLoop(): Promise<void> {
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted;) {
      const room = this.#room();
      if (room <= 0) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      try {
        const claimed = await this.#claim(room);
        failures = 0;
        if (claimed.length === 0) await workOrTime(this.queue, this.#leaseMs, signal);
      } catch (error) {
        await this.#pauseAfter("claim", error, (failures += 1));
      }
    }
  }

  async #claim(max: number): Promise<readonly ClaimedTask[]> {
    this.#asked += max;
    try {
      const sentAt = this.#clock.monotonic();
      const claimed = await this.#answered(this.queue.store.claim(this.queue.name, this.#claimOf(max)));
      this.#receive(claimed, sentAt);
      return claimed;
    } finally {
      this.#asked -= max;
      this.#changed();
    }
  }

  /** Hears of cancelled tasks at once, rather than at the next renewal; also while it closes. */
  async #revokedLoop(): Promise<void> {
    const { signal } = this.#end;
    for (let failures = 0; !signal.aborted;) {
      try {
        const revoked = await this.queue.store.waitForRevoked(this.queue.name, this.name, signal);
        failures = 0;
        for (const { id, fence, reason } of revoked)
          for (const run of this.#held)
            if (run.claimed.id === id && run.claimed.fence === fence) run.cancel(reason);
      } catch (error) {
        await this.#pauseAfter("revoked", error, (failures += 1));
      }
    }
  }

  /** How many more tasks may be claimed, once `leaving` of those that are held have been let go. */
  #room(leaving: number = 0): number {
    if (this.#paused || this.#isStopping) return 0;
    return this.#concurrency - this.#held.size - this.#leftBehind - this.#asked + leaving;
  }

  /** A call that is not answered in the time of a lease has failed: a lease that it brought would have ended. */
  #answered<T>(call: Promise<T>): Promise<T> {
    return answered(call, this.#leaseMs, this.#clock);
  }

  #claimOf(max: number): ClaimRequest {
    return { worker: this.name, max, leaseMs: this.#leaseMs };
  }

  #receive(claimed: readonly ClaimedTask[], sentAt: number): void {
    for (const task of claimed) {
      const handler = this.#handlers.get(task.name) ?? unknownTask(task.name);
      const run = new TaskRun(task, handler, this.#settings, sentAt + this.#leaseMs);
      this.#held.add(run);
      // Claimed on the way to the close: goes straight back.
      if (this.#isStopping) run.stop("closing", new WorkerClosingError());
      else this.#limits.add(run);
      this.#run(run);
    }
    if (claimed.length > 0) this.#keeper.start();
  }

  /**
   * A lane is a job that never ends and runs one handler after the other: one job of the pool for each task would cost as
   * much as all the rest that is done for it.
   */
  #run(run: TaskRun): void {
    if (this.#idleLanes > 0) {
      this.#idleLanes -= 1;
      run.start();
    } else
      void this.#pool.add(() => {
        run.start();
        return new Promise(() => {});
      });
  }

  #ended(run: TaskRun, settlement: Settlement | undefined): void {
    this.#idleLanes += 1;
    if (settlement === undefined) {
      this.#letGo(run, "abandoned", false);
      this.#changed();
    } else {
      this.#settlements.push({ run, settlement });
      this.#settleSoon();
    }
  }

  /** A handler that was left behind uses this process: nothing is started in its place until it has ended. */
  #left(run: TaskRun, ended: boolean): void {
    this.#leftBehind += ended ? -1 : 1;
    this.#news.left(run.claimed, { ended, leftBehind: this.#leftBehind, concurrency: this.#concurrency });
    if (ended) this.#changed();
  }

  /** While the store works on one batch, we work on the other: a second one goes when it is worth its call. */
  #settleSoon(): void {
    const isWorthIt = this.#settling === 0 || this.#settlements.length >= SECOND_BATCH;
    if (isWorthIt && this.#settling < MAX_SETTLING) void this.#settle();
  }

  /** Ends leases in batches: all that end in one turn, and those that end while batches are on their way. */
  async #settle(): Promise<void> {
    this.#settling += 1;
    await Promise.resolve();
    for (let failures = 0; this.#settlements.length > 0 && !this.#end.signal.aborted;) {
      const { size } = this.#held;
      // Half of what is held, where both halves are worth their calls: or one batch would get nearly all, and go on like that.
      const batch = this.#settlements.splice(0, size < 2 * SECOND_BATCH ? Infinity : Math.ceil(size / 2));
      this.#settleSoon();
      try {
        await this.#settleBatch(batch);
        failures = 0;
      } catch (error) {
        // Tried again for as long as the leases last; what the store has taken already, it refuses.
        for (const { run } of batch) if (!run.isOurs) this.#letGo(run, "abandoned", false);
        this.#settlements = [...batch.filter(({ run }) => run.isOurs), ...this.#settlements];
        await this.#pauseAfter("settle", error, (failures += 1));
      }
    }
    this.#settling -= 1;
    this.#changed();
  }

  async #settleBatch(batch: readonly Ended[]): Promise<void> {
    const { store, name } = this.queue;
    this.#leaving += batch.length;
    const room = Math.max(0, this.#room(this.#leaving));
    const sentAt = this.#clock.monotonic();
    const settlements = batch.map(({ settlement }) => settlement);
    const claim = room > 0 ? this.#claimOf(room) : undefined;
    this.#asked += room;
    try {
      const { outcomes, claimed } = await this.#answered(store.settle(name, settlements, claim));
      batch.forEach(({ run, settlement }, at) => this.#letGo(run, settlement.kind, outcomes[at]!.written));
      this.#receive(claimed, sentAt);
    } finally {
      this.#asked -= room;
      this.#leaving -= batch.length;
      this.#changed();
    }
  }

  #letGo(run: TaskRun, settlement: RunEndedEvent["settlement"], written: boolean): void {
    this.#held.delete(run);
    if (written && this.#isStopping) {
      if (settlement === "release") this.#givenBack += 1;
      else this.#finished += 1;
    }
    this.#news.ended(run, settlement, written);
  }

  /** Lets those look again who wait for room or for the end. */
  #changed(): void {
    this.#wake?.();
    this.#wake = undefined;
    if (this.#held.size === 0 && this.#asked === 0) this.#onIdle?.();
  }

  async #pauseAfter(doing: WorkerErrorEvent["doing"], error: unknown, failures: number): Promise<void> {
    const { signal } = doing === "claim" ? this.#stop : this.#end;
    if (signal.aborted) return;
    this.#news.failed(doing, error);
    const { delayMs } = this.#storeBackoff.next(failures, 0, this.#settings.random);
    // Without connections nothing else may keep the process running, which would end as if there were nothing left to do.
    await this.#clock.sleep(delayMs, signal, { keepAlive: true }).catch(() => {});
  }
}

interface Ended {
  readonly run: TaskRun;
  readonly settlement: Settlement;
}

/** Fails tries of a task that nobody here can run, in the hope that another worker can: deploys take a while. */
function unknownTask(name: string): TaskHandler {
  const run = (): never => {
    throw new NoHandlerError(name);
  };
  return { task: { ...defineTask({ name }), upcast: async () => run() }, run };
}

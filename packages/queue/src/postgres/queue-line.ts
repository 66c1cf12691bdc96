// One queue in PostgreSQL: its calls, sent together by tick, and who waits for it in this process.
import type { Clock, Timer } from "@holdfast/core";
import type { PgListener, PgQueryable, PgRunner } from "@holdfast/core/postgres";
import { sqlStateOf } from "@holdfast/core/postgres";
import type { EnqueueResult, NewTask } from "../store/store.ts";
import { Wakeups } from "../store/wakeups.ts";
import type { Words } from "./words.ts";
import { enqueueOutcome, enqueueWords } from "./words.ts";

/** What all queues of a store share. */
export interface LineSettings {
  readonly runner: PgRunner;
  readonly schema: string;
  /** Resolves when the server is fit for tasks and its schema there. */
  readonly ready: () => Promise<void>;
  /** Where nobody can be told of anything, those who wait look for themselves. */
  readonly listener: PgListener | undefined;
  readonly clock: Clock;
  readonly pollMs: number;
  /** Whether those who wait keep the process running, as open connections do, also while there are none. */
  readonly keepsAlive: boolean;
  /** Whether the server runs in this thread, and would let nothing else have its turn between two questions. */
  readonly isInThread: boolean;
  readonly bounds: { readonly maxEnded: number; readonly maxDeadLetters: number; readonly maxEvents: number };
}

/** Statements on their way at a time, of each kind: while the server works on one, the next is gathered. */
const MAX_SENT = 2;
/** Calls, or tasks, in one statement. */
const MAX_CALLS = 1_000;
const MAX_TASKS = 2_000;
/** Longest wait for a lock, in milliseconds, beyond which nothing has happened. */
const MAX_LOCK_MS = 1_000;
const WORK = "w";
/** Answered to a wait that has not begun because what it waits for is there. */
const IS_THERE = true;
/** What two transactions may do to each other; nothing has happened then. */
const CONFLICTS: readonly (string | undefined)[] = ["23505", "55P03"];
/** Over once the other one is, which is let go first: whoever comes again at once may be in its way again. */
const SHORT_CONFLICTS: readonly (string | undefined)[] = ["23505", "40001", "40P01"];
const CONFLICT_TRIES = 5;
const CONFLICT_WAIT_MS = 50;

interface Call {
  readonly words: Words;
  readonly resolve: (answer: never) => void;
  readonly reject: (error: unknown) => void;
}

interface Add {
  readonly tasks: readonly NewTask[];
  readonly limit: number;
  readonly resolve: (result: EnqueueResult) => void;
  readonly reject: (error: unknown) => void;
}

export class QueueLine {
  readonly #calls: Outbox<Call>;
  readonly #adds: Outbox<Add>;
  readonly #wakeups = new Wakeups();
  readonly #waitMs: number;
  #stopListening: (() => void) | undefined;
  /** Looks again when something happens by itself, or when a message may have been lost. */
  #timer: Timer | undefined;
  #timerAt = Infinity;
  /** When all who wait have looked for themselves last. */
  #lookedAt = -Infinity;
  #isClosed = false;
  #hasWaited = false;

  /**
   * @param name - Of the queue, as it is stored.
   * @param tx - Runs everything there, in whatever transaction that is in.
   */
  constructor(
    private readonly name: string,
    private readonly settings: LineSettings,
    private readonly tx: PgQueryable | undefined,
  ) {
    this.#waitMs = Math.max(1, Math.min(MAX_LOCK_MS, Math.floor(settings.runner.deadlineMs / 2)));
    this.#calls = new Outbox((calls) => this.#send(calls), MAX_CALLS);
    this.#adds = new Outbox((adds) => this.#add(adds), MAX_CALLS);
  }

  get isIdle(): boolean {
    return this.#calls.isEmpty && this.#adds.isEmpty && !this.#hasWaited;
  }

  /** The answer to a verb and its words. */
  ask<T>(...words: Words): Promise<T> {
    return new Promise<T>((resolve, reject) => this.#calls.put({ words, resolve, reject }));
  }

  enqueue(tasks: readonly NewTask[], limit: number): Promise<EnqueueResult> {
    return new Promise((resolve, reject) => this.#adds.put({ tasks, limit, resolve, reject }));
  }

  /** Adds a task and moves a schedule on. */
  async fire(words: Words, task: NewTask, limit: number): Promise<string> {
    const [, ...taskWords] = enqueueWords([task]);
    return this.#query<string>("fire", [
      this.settings.bounds.maxEvents,
      this.#waitMs,
      limit,
      ...words,
      ...taskWords,
    ]);
  }

  /** Completes a task in the transaction of this line. */
  completeWithin(words: Words): Promise<0 | 1 | string> {
    return this.#query("complete_within", [this.#waitMs, ...words]);
  }

  async waitForWork(signal: AbortSignal): Promise<void> {
    await this.#until(WORK, signal, ["waitForWork"]);
  }

  /** @param id - As it is stored. */
  async waitForEvents(id: string, after: number, signal: AbortSignal): Promise<void> {
    await this.#until(`e${id}`, signal, ["waitForEvents", id, after]);
  }

  /** The leases that were taken from a worker; `undefined` once the line is closed. */
  async waitForRevoked(worker: string, signal: AbortSignal): Promise<readonly RevokedRow[] | undefined> {
    signal.throwIfAborted();
    this.#listen();
    return this.#wakeups.until(`r${worker}`, signal, async () => {
      if (this.#isClosed) return [];
      const leases = await this.ask<readonly RevokedRow[] | null>("takeRevoked", worker);
      if (leases !== null) return leases;
      this.#lookIn(this.settings.pollMs);
      return undefined;
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#stopListening?.();
    this.#wakeups.wakeAll();
  }

  /** What was said on the channel of the schema about this queue. */
  onMessage([, hasWork, isSoon, ids, workers]: WakeMessage): void {
    if (ids === "all" || workers === "all") {
      this.#wakeAll();
      return;
    }
    if (hasWork) this.#wakeups.wake(WORK, "sure");
    for (const id of ids ?? []) this.#wakeups.wake(`e${id}`, "sure");
    for (const worker of workers ?? []) this.#wakeups.wake(`r${worker}`, "maybe");
    if (isSoon) void this.#look();
  }

  async #until(key: string, signal: AbortSignal, words: Words): Promise<void> {
    signal.throwIfAborted();
    this.#listen();
    await this.#wakeups.until(key, signal, async () => {
      if (this.#isClosed) return true;
      const askedAt = this.settings.clock.monotonic();
      const answer = await this.ask<true | number>(...words);
      if (answer === IS_THERE) return true;
      this.#lookAfter(askedAt, answer);
      return undefined;
    });
  }

  #listen(): void {
    this.#hasWaited = true;
    const { listener, schema } = this.settings;
    this.#stopListening ??= listener?.listen(schema, (event) => {
      // What came before was not heard.
      if (event.kind === "listening") this.#wakeAll();
      else this.#onPayload(event.payload);
    });
  }

  #onPayload(payload: string): void {
    const message = JSON.parse(payload) as WakeMessage;
    if (message[0] === this.name) this.onMessage(message);
  }

  /** Sees to it that what happens by itself does, and that whoever waits for it is told; for all who wait here. */
  async #look(): Promise<void> {
    if (this.#isClosed || !this.#wakeups.isWanted) return;
    try {
      const askedAt = this.settings.clock.monotonic();
      this.#lookAfter(askedAt, await this.ask<number>("look"));
    } catch {
      this.#lookIn(this.settings.pollMs);
    }
  }

  /** Counted from when that was asked: the answer may have been long on its way. */
  #lookAfter(askedAt: number, ms: number): void {
    const { clock, pollMs } = this.settings;
    this.#lookIn(ms < 0 ? pollMs : Math.max(0, Math.min(askedAt + ms - clock.monotonic(), pollMs)));
  }

  #lookIn(ms: number): void {
    const { clock, pollMs, keepsAlive } = this.settings;
    const at = clock.monotonic() + ms;
    if (this.#isClosed || at >= this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = clock.setTimer(
      ms,
      () => {
        this.#timerAt = Infinity;
        // A message may have been lost, so each looks for itself from time to time.
        if (clock.monotonic() - this.#lookedAt >= pollMs) this.#wakeAll();
        else void this.#look();
      },
      { keepAlive: keepsAlive && this.#wakeups.isWanted },
    );
  }

  #wakeAll(): void {
    this.#lookedAt = this.settings.clock.monotonic();
    this.#wakeups.wakeAll();
  }

  /** Never rejects: each call is told. */
  async #send(calls: readonly Call[]): Promise<void> {
    const { maxEnded, maxDeadLetters, maxEvents } = this.settings.bounds;
    try {
      const text = JSON.stringify(calls.map(({ words }) => words));
      const values = [maxEnded, maxDeadLetters, maxEvents, this.#waitMs, text];
      const answers = await this.#query<readonly never[]>("run", values);
      for (const [index, call] of calls.entries()) call.resolve(answers[index]!);
    } catch (error) {
      // One of them has met a lock: the others need not wait for it.
      if (calls.length > 1 && isConflict(error)) for (const call of calls) await this.#send([call]);
      else for (const call of calls) call.reject(error);
    }
  }

  /** Never rejects either. Tasks of several callers are added together if there is room for all of them. */
  async #add(adds: readonly Add[]): Promise<void> {
    for (const some of together(adds)) {
      const tasks = some.flatMap((add) => add.tasks);
      try {
        const result = await this.#addAll(tasks, some[0]!.limit);
        if (result.full && some.length > 1) {
          for (const add of some) await this.#add([add]);
          continue;
        }
        let at = 0;
        for (const add of some) {
          if (result.full) add.resolve(result);
          else add.resolve({ full: false, outcomes: result.outcomes.slice(at, (at += add.tasks.length)) });
        }
      } catch (error) {
        if (some.length > 1 && isConflict(error)) for (const add of some) await this.#add([add]);
        else for (const add of some) add.reject(error);
      }
    }
  }

  async #addAll(tasks: readonly NewTask[], limit: number): Promise<EnqueueResult> {
    const { maxEvents } = this.settings.bounds;
    const enters = this.tx !== undefined;
    const head = [maxEvents, this.#waitMs, enters, limit];
    const answer = await this.#query<0 | { live: number } | readonly string[]>("enqueue", [
      ...head,
      ...enqueueWords(tasks),
    ]);
    if (answer === 0) return { full: false, outcomes: tasks.map(({ id }) => ({ outcome: "enqueued", id })) };
    if ("live" in answer) return { full: true, live: answer.live };
    return { full: false, outcomes: tasks.map(({ id }, index) => enqueueOutcome(id, answer[index]!)) };
  }

  /** What a function answers, read as JSON. A conflict with another transaction is tried again, for a while. */
  async #query<T>(name: string, values: readonly unknown[]): Promise<T> {
    const { ready, runner, schema, clock, isInThread } = this.settings;
    await ready();
    if (isInThread) await new Promise((resolve) => setImmediate(resolve));
    const places = values.map((_, index) => `$${index + 2}`).join(", ");
    const text = `select "${schema}".${name}($1, ${places}) as answer`;
    const until = clock.monotonic() + runner.deadlineMs;
    for (let tries = 1; ; tries += 1)
      try {
        const { rows } = await runner.query(text, [this.name, ...values], { tx: this.tx });
        return JSON.parse((rows[0]?.["answer"] as string | undefined) ?? "null") as T;
      } catch (error) {
        // A transaction of the caller's is over with the first error.
        if (this.tx !== undefined || !SHORT_CONFLICTS.includes(sqlStateOf(error))) throw error;
        if (tries === CONFLICT_TRIES || clock.monotonic() >= until) throw error;
        await clock.sleep(CONFLICT_WAIT_MS);
      }
  }
}

/** The queue; whether there is work; whether something is due sooner than was said; of whom there is news. */
export type WakeMessage = readonly [
  queue: string,
  hasWork: boolean,
  isSoon: boolean,
  ids: readonly string[] | null | "all",
  workers: readonly string[] | null | "all",
];

/** As `takeRevoked` in SQL answers. */
export type RevokedRow = readonly [id: string, fence: number, reason: string];

/** What is to be sent: all of a tick together, and all that gathers while as much as may be is on its way. */
class Outbox<Item> {
  #waiting: Item[] = [];
  #sent = 0;
  #isTicking = false;

  constructor(
    private readonly send: (items: readonly Item[]) => Promise<void>,
    private readonly max: number,
  ) {}

  get isEmpty(): boolean {
    return this.#sent === 0 && this.#waiting.length === 0;
  }

  put(item: Item): void {
    this.#waiting.push(item);
    if (this.#isTicking) return;
    this.#isTicking = true;
    // After the microtasks: those whose answers came together ask again together.
    process.nextTick(() => {
      this.#isTicking = false;
      this.#next();
    });
  }

  #next(): void {
    while (this.#sent < MAX_SENT && this.#waiting.length > 0) {
      const items = this.#waiting.splice(0, this.max);
      this.#sent += 1;
      void this.send(items).finally(() => {
        this.#sent -= 1;
        this.#next();
      });
    }
  }
}

/** Those that can be added as one: with one limit, no families, and not too many. */
function together(adds: readonly Add[]): readonly (readonly Add[])[] {
  const parts: Add[][] = [];
  let last: Add[] = [];
  let size = 0;
  for (const add of adds) {
    const isAlone = add.tasks.some(
      ({ parent, waitsForChildren }) => parent !== undefined || waitsForChildren === true,
    );
    const fits =
      last.length > 0 && !isAlone && last[0]!.limit === add.limit && size + add.tasks.length <= MAX_TASKS;
    if (!fits) {
      last = [];
      parts.push(last);
      size = 0;
    }
    last.push(add);
    // Nothing is added to a family.
    size = isAlone ? Infinity : size + add.tasks.length;
  }
  return parts;
}

function isConflict(error: unknown): boolean {
  return CONFLICTS.includes(sqlStateOf(error));
}

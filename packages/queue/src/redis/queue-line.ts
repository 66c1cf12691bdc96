// One queue in Redis: its keys, its calls, sent together by tick, and who waits for it in this process.
import type { Clock, Timer } from "@holdfast/core";
import type { RedisRunner, RedisScript, TickBatch } from "@holdfast/core/redis";
import { redisScript, tickBatch } from "@holdfast/core/redis";
import type { NewTask } from "../store/store.ts";
import { Wakeups } from "../store/wakeups.ts";
import { enqueueWords } from "./enqueue-words.ts";
import { Happened } from "./lost-writes.ts";
import { scriptText } from "./script-text.ts";
import type { Subscription } from "./subscription.ts";
import type { Word } from "./word.ts";

/** What all queues of a store share. */
export interface LineSettings {
  readonly runner: RedisRunner;
  /** Resolves when the server is fit for tasks. */
  readonly fit: () => Promise<void>;
  readonly subscription: Subscription;
  readonly clock: Clock;
  readonly pollMs: number;
  readonly bounds: { readonly maxEnded: number; readonly maxDeadLetters: number; readonly maxEvents: number };
}

const KEYS = [
  "meta",
  "tasks",
  "parts",
  "ready",
  "scheduled",
  "waiting",
  "running",
  "completed",
  "cancelled",
  "buried",
  "failed",
  "alarms",
  "groups",
  "children",
  "flows",
  "limits",
  "dedup",
  "schedules",
  "revoked",
  "watch",
] as const;

const SCRIPT: RedisScript = /* @__PURE__ */ redisScript({
  name: "queue",
  lua: scriptText(),
  keys: KEYS,
});

/** Calls in one run of the script. */
const MAX_CALLS = 200;
/** Words that are worth a second run: those of about 32 completions. */
const WORTH_TWO_RUNS = 128;
const WORK = "w";
/** Answered to a wait that has not begun because what it waits for is there. */
const IS_THERE = 1;
/** Answered to those who add tasks, alone or together, when all are new. */
const ALL_ADDED = 0;

interface Call {
  readonly words: readonly Word[];
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: unknown) => void;
}

interface Add extends Omit<Call, "words"> {
  readonly tasks: readonly NewTask[];
  readonly limit: number;
}

export class QueueLine {
  readonly #keys: readonly string[];
  readonly #head: readonly Word[];
  readonly #batch: TickBatch<Call>;
  readonly #adds: TickBatch<Add>;
  readonly #wakeups = new Wakeups();
  /** Looks again when something happens by itself, or when a message may have been lost. */
  #timer: Timer | undefined;
  #timerAt = Infinity;
  /** When all who wait have looked for themselves last. */
  #lookedAt = -Infinity;
  #isClosed = false;
  #asked = 0;
  #hasListened = false;
  readonly #happened: Happened;

  /** @param place - What the names of its keys begin with, hash tag and all. */
  constructor(
    queue: string,
    place: string,
    private readonly settings: LineSettings,
  ) {
    this.#happened = new Happened(queue);
    const { maxEnded, maxDeadLetters, maxEvents } = settings.bounds;
    this.#keys = KEYS.map((name) => `${place}:${name}`);
    this.#head = [`${place}:wake`, maxEnded, maxDeadLetters, maxEvents];
    this.#batch = tickBatch((calls) => {
      for (const some of parts(calls)) void this.#send(some);
    }, MAX_CALLS);
    this.#adds = tickBatch((adds) => this.#enqueue(adds), MAX_CALLS);
  }

  get isIdle(): boolean {
    return this.#asked === 0 && !this.#hasListened;
  }

  /** The script's answer to a verb and its words. */
  ask(...words: readonly Word[]): Promise<unknown> {
    return this.askWith(words);
  }

  /** As {@link ask}, for lists that are too long to be spread. */
  askWith(words: readonly Word[]): Promise<unknown> {
    this.#asked += 1;
    return new Promise((resolve, reject) => this.#batch.add({ words, resolve, reject }));
  }

  /** The script's answer to one of those who add tasks: what all of a tick add is one word of it. */
  enqueue(tasks: readonly NewTask[], limit: number): Promise<unknown> {
    this.#asked += 1;
    return new Promise((resolve, reject) => this.#adds.add({ tasks, limit, resolve, reject }));
  }

  async waitForWork(signal: AbortSignal): Promise<void> {
    await this.#until(WORK, signal, ["waitForWork"]);
  }

  async waitForEvents(id: string, after: number, signal: AbortSignal): Promise<void> {
    await this.#until(`e${id}`, signal, ["waitForEvents", id, after]);
  }

  /** What the script has to tell a worker, as JSON; `undefined` once the line is closed. */
  async waitForRevoked(worker: string, signal: AbortSignal): Promise<string | undefined> {
    await this.#listen();
    return this.#wakeups.until(`r${worker}`, signal, async () => {
      if (this.#isClosed) return "[]";
      const leases = await this.ask("takeRevoked", worker);
      if (typeof leases === "string") return leases;
      this.#lookIn(this.settings.pollMs);
      return undefined;
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#wakeups.wakeAll();
  }

  async #until(key: string, signal: AbortSignal, words: readonly Word[]): Promise<void> {
    signal.throwIfAborted();
    await this.#listen();
    await this.#wakeups.until(key, signal, async () => {
      if (this.#isClosed) return true;
      const answer = await this.askWith(words);
      if (answer === IS_THERE) return true;
      this.#lookAfter(answer);
      return undefined;
    });
  }

  #listen(): Promise<void> {
    this.#hasListened = true;
    const channel = String(this.#head[0]);
    return this.settings.subscription.listen(channel, {
      onMessage: (message) => this.#onMessage(message),
      // What came before was not heard.
      onReady: () => this.#wakeAll(),
    });
  }

  #onMessage(message: string): void {
    const [hasWork, isSoon, ids, workers] = JSON.parse(message) as WakeMessage;
    if (hasWork) this.#wakeups.wake(WORK, "sure");
    for (const id of ids || []) this.#wakeups.wake(`e${id}`, "sure");
    for (const worker of workers || []) this.#wakeups.wake(`r${worker}`, "maybe");
    if (isSoon) void this.#look();
  }

  /** Sees to it that what happens by itself does, and that whoever waits for it is told; for all who wait here. */
  async #look(): Promise<void> {
    if (this.#isClosed || !this.#wakeups.isWanted) return;
    try {
      this.#lookAfter(await this.ask("look"));
    } catch {
      this.#lookIn(this.settings.pollMs);
    }
  }

  #lookAfter(answer: unknown): void {
    const [, ms] = answer as readonly [number, number];
    const { pollMs } = this.settings;
    this.#lookIn(ms < 0 ? pollMs : Math.min(ms, pollMs));
  }

  #lookIn(ms: number): void {
    const { clock, pollMs } = this.settings;
    const at = clock.monotonic() + ms;
    if (this.#isClosed || at >= this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = clock.setTimer(ms, () => {
      this.#timerAt = Infinity;
      // A message may have been lost, so each looks for itself from time to time.
      if (clock.monotonic() - this.#lookedAt >= pollMs) this.#wakeAll();
      else void this.#look();
    });
  }

  #wakeAll(): void {
    this.#lookedAt = this.settings.clock.monotonic();
    this.#wakeups.wakeAll();
  }

  #enqueue(adds: readonly Add[]): void {
    for (const [limit, some] of byLimit(adds)) {
      const words = enqueueWords(
        some.map(({ tasks }) => tasks),
        limit,
      );
      // Together they are one call.
      this.#asked -= some.length - 1;
      const resolve = (answers: unknown): void => {
        for (const [index, add] of some.entries())
          add.resolve(answers === ALL_ADDED ? ALL_ADDED : (answers as readonly unknown[])[index]);
      };
      const reject = (error: unknown): void => {
        for (const add of some) add.reject(error);
      };
      void this.#send([{ words, resolve, reject }]);
    }
  }

  /** Never rejects: each call is told. */
  async #send(calls: readonly Call[]): Promise<void> {
    const words: Word[] = [...this.#head];
    for (const call of calls) for (const word of call.words) words.push(word);
    try {
      const { fit, runner } = this.settings;
      await fit();
      const { known } = this.#happened;
      const answers = (await runner.run(SCRIPT, this.#keys, words)) as readonly unknown[];
      // Those who wait may wait for what is no more.
      if (this.#happened.isLess(answers[calls.length] as number, known)) this.#wakeAll();
      for (const [index, call] of calls.entries()) call.resolve(answers[index]);
    } catch (error) {
      for (const call of calls) call.reject(error);
    } finally {
      this.#asked -= calls.length;
    }
  }
}

/** Whether there is work; whether something is due sooner than was said; of which tasks and which workers there is news. */
type WakeMessage = readonly [boolean, boolean, readonly string[] | false, readonly string[] | false];

/** Large calls go in two runs, so that the server works on some while we read the others' answers. */
function parts(calls: readonly Call[]): readonly (readonly Call[])[] {
  const total = calls.reduce((sum, { words }) => sum + words.length, 0);
  if (calls.length === 1 || total < WORTH_TWO_RUNS) return [calls];
  const middle = calls.length >> 1;
  return [calls.slice(0, middle), calls.slice(middle)];
}

function byLimit(adds: readonly Add[]): ReadonlyMap<number, readonly Add[]> {
  const first = adds[0]!.limit;
  if (adds.every(({ limit }) => limit === first)) return new Map([[first, adds]]);
  const groups = new Map<number, Add[]>();
  for (const add of adds) groups.set(add.limit, [...(groups.get(add.limit) ?? []), add]);
  return groups;
}

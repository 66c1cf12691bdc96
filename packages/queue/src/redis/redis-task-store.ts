// Tasks in Redis: every verb is one run of one script, shared by all that is asked in one tick.
import type { Clock, Duration } from "@holdfast/core";
import { ClosedError, optionsOf, systemClock } from "@holdfast/core";
import { hashTagOf, inspectRedis, keyPrefix, redisRunner } from "@holdfast/core/redis";
import type { Payload } from "../payload.ts";
import type {
  CancelOutcome,
  ClaimedTask,
  ClaimRequest,
  EnqueueResult,
  EventPage,
  LeaseRef,
  NewTask,
  QueueStats,
  QueueStore,
  QueueStoreTraits,
  RedriveOutcome,
  ReportRequest,
  RevokedLease,
  Settlement,
  WriteOutcome,
} from "../store.ts";
import type { TaskEvent, TaskStatus } from "../task-status.ts";
import type { LineSettings } from "./queue-line.ts";
import { QueueLine } from "./queue-line.ts";
import {
  claimWords,
  enqueueOutcome,
  idWords,
  pushSettlement,
  revokedLeases,
  whole,
  WRITTEN,
  writeOutcome,
} from "./script-words.ts";
import { StoreUnfitError } from "./store-unfit-error.ts";
import { claimedTasks, fromName, fromStoredPayload, STATES, statusOf, toName } from "./stored-task.ts";
import type { RedisQueueClient } from "./subscription.ts";
import { Subscription } from "./subscription.ts";
import type { Word } from "./word.ts";

export interface RedisTaskStoreOptions {
  /**
   * `Redis` or `Cluster` of ioredis, best made with `REDIS_CLIENT_OPTIONS`. Stays open: it is its owner's. A second
   * connection like it is opened for wake-ups once somebody waits, and closed with the store.
   */
  readonly client: RedisQueueClient;
  /** Before the name of every key; 1 to 100 characters without braces. @defaultValue "holdfast:queue:" */
  readonly prefix?: string;
  /** How long one call may take, from 1 ms. @defaultValue "2s" */
  readonly deadline?: Duration;
  /**
   * How often those who wait look for themselves, in case a wake-up was lost; without a second connection the only way
   * they hear of anything. From 10 ms. @defaultValue "5s"
   */
  readonly poll?: Duration;
  /** Completed and cancelled tasks kept in each queue; beyond it those go early that would go next. @defaultValue 100_000 */
  readonly maxEnded?: number;
  /** Failed tasks kept in each queue; beyond it the oldest go early. @defaultValue 100_000 */
  readonly maxDeadLetters?: number;
  /** Events kept for each task; beyond it the oldest go. From 10. @defaultValue 200 */
  readonly maxEvents?: number;
  /**
   * Take a server that may evict keys, and so lose tasks. For tests and for caches of work that can be done without.
   * @defaultValue false
   */
  readonly allowEviction?: boolean;
  /** For the poll: tasks go by the server's clock. @defaultValue systemClock */
  readonly clock?: Clock;
}

/** The defaults of `redisTaskStore`. */
export const REDIS_TASK_STORE_DEFAULTS: {
  readonly prefix: string;
  readonly deadlineMs: number;
  readonly pollMs: number;
  readonly maxEnded: number;
  readonly maxDeadLetters: number;
  readonly maxEvents: number;
} = {
  prefix: "holdfast:queue:",
  deadlineMs: 2_000,
  pollMs: 5_000,
  maxEnded: 100_000,
  maxDeadLetters: 100_000,
  maxEvents: 200,
};

/** Slots that queues are spread over. All keys of a queue are in one, so that one script can change all of them. */
const TAGS = 16_384;
const CANCEL_OUTCOMES: readonly CancelOutcome[] = ["unknown", "ended", "cancelled"];
const REDRIVE_OUTCOMES: readonly RedriveOutcome[] = ["unknown", "not_failed", "duplicate", "redriven"];

/**
 * Keeps tasks in Redis 6.2 or later, alone or as a Cluster, for any number of processes. A queue is fourteen keys in one
 * slot, whatever its length. What is asked in one tick is one round trip; so is completing a task and claiming the next.
 *
 * Acknowledged means that Redis has taken it: whether it outlives a crash of the server is the server's business
 * (`appendonly yes` with `appendfsync always` loses nothing, `everysec` up to a second; a failover what the replica did
 * not have). A server that may evict keys, is a replica or is older than 6.2 is refused at the first call.
 *
 * @throws InvalidOptionError when an option is out of range. Calls reject with a {@link StoreUnfitError} when the server
 * could lose tasks, and with `STORE_UNAVAILABLE` when it could not be asked.
 *
 * @example
 * ```ts no-run: needs a Redis
 * import { Redis } from "ioredis";
 * import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
 * import { queue } from "@holdfast/queue";
 * import { redisTaskStore } from "@holdfast/queue/redis";
 *
 * const client = new Redis("redis://127.0.0.1:6379", REDIS_CLIENT_OPTIONS);
 * const images = queue({ name: "images", store: redisTaskStore({ client }) });
 * ```
 */
export function redisTaskStore(options: RedisTaskStoreOptions): QueueStore {
  const owner = "redisTaskStore";
  const check = optionsOf(owner);
  const defaults = REDIS_TASK_STORE_DEFAULTS;
  const prefix = keyPrefix(owner, options.prefix, defaults.prefix);
  // The deadline runs on real time, as the server does.
  const runner = redisRunner({ client: options.client, deadline: options.deadline ?? defaults.deadlineMs });
  const allowsEviction = check.boolean("allowEviction", options.allowEviction, false);
  return new RedisTaskStore(prefix, {
    runner,
    fit: once(() => assertFit(options, allowsEviction)),
    subscription: new Subscription(options.client),
    clock: options.clock ?? systemClock,
    pollMs: check.duration("poll", options.poll, { min: 10 }, defaults.pollMs),
    bounds: {
      maxEnded: check.integer("maxEnded", options.maxEnded, { min: 1 }, defaults.maxEnded),
      maxDeadLetters: check.integer(
        "maxDeadLetters",
        options.maxDeadLetters,
        { min: 1 },
        defaults.maxDeadLetters,
      ),
      maxEvents: check.integer("maxEvents", options.maxEvents, { min: 10 }, defaults.maxEvents),
    },
  });
}

class RedisTaskStore implements QueueStore {
  readonly traits: QueueStoreTraits = { shared: true, clock: "server", durable: true };
  readonly #lines = new Map<string, QueueLine>();
  #isClosed = false;

  constructor(
    private readonly prefix: string,
    private readonly settings: LineSettings,
  ) {}

  async enqueue(
    queue: string,
    tasks: readonly NewTask[],
    { limit }: { readonly limit: number },
  ): Promise<EnqueueResult> {
    const ids = tasks.map(({ id }) => id);
    const answer = await this.#line(queue).enqueue([...tasks], limit);
    if (answer === 0) return { full: false, outcomes: ids.map((id) => ({ outcome: "enqueued", id })) };
    const outcomes = answer as readonly (number | string)[];
    if (outcomes[0] === -1) return { full: true, live: Number(outcomes[1]) };
    return { full: false, outcomes: ids.map((id, index) => enqueueOutcome(id, outcomes[index]!)) };
  }

  async claim(queue: string, request: ClaimRequest): Promise<readonly ClaimedTask[]> {
    return claimedTasks(list(await this.#line(queue).ask("claim", ...claimWords(request))));
  }

  async settle(
    queue: string,
    settlements: readonly Settlement[],
    claim?: ClaimRequest,
  ): Promise<{ readonly outcomes: readonly WriteOutcome[]; readonly claimed: readonly ClaimedTask[] }> {
    const words: Word[] = ["settle", settlements.length];
    for (const settlement of settlements) pushSettlement(words, settlement);
    if (claim === undefined) words.push(0);
    else words.push(1, ...claimWords(claim));
    const [outcomes, claimed] = list(await this.#line(queue).askWith(words));
    return {
      outcomes: outcomes === 1 ? settlements.map(() => WRITTEN) : list(outcomes).map(writeOutcome),
      claimed: claimedTasks(list(claimed)),
    };
  }

  async renew(queue: string, leases: readonly LeaseRef[], leaseMs: number): Promise<readonly WriteOutcome[]> {
    const words: Word[] = ["renew", whole(leaseMs), leases.length];
    for (const { id, fence } of leases) words.push(toName(id), fence);
    return list(await this.#line(queue).askWith(words)).map(writeOutcome);
  }

  async report(queue: string, requests: readonly ReportRequest[]): Promise<readonly WriteOutcome[]> {
    const words: Word[] = ["report", requests.length];
    for (const { id, fence, reports } of requests) {
      words.push(toName(id), fence, reports.length);
      for (const report of reports)
        if (report.kind === "progress") words.push("p", JSON.stringify(report.value) ?? "null");
        else words.push("l", JSON.stringify(report.line));
    }
    return list(await this.#line(queue).askWith(words)).map(writeOutcome);
  }

  async cancel(queue: string, ids: readonly string[], reason: string): Promise<readonly CancelOutcome[]> {
    const words = ["cancel", toName(reason), JSON.stringify(reason), ...idWords(ids)];
    return list(await this.#line(queue).askWith(words)).map((outcome) => CANCEL_OUTCOMES[Number(outcome)]!);
  }

  async get(queue: string, ids: readonly string[]): Promise<readonly (TaskStatus | undefined)[]> {
    const answers = list(await this.#line(queue).askWith(["get", ...idWords(ids)]));
    return ids.map((id, index) => statusOf(id, answers[index]));
  }

  async result(queue: string, id: string): Promise<Payload | undefined> {
    const stored = await this.#line(queue).ask("result", toName(id));
    return typeof stored === "string" ? fromStoredPayload(stored) : undefined;
  }

  async events(queue: string, id: string, after: number, max: number): Promise<EventPage | undefined> {
    const answer = await this.#line(queue).ask("events", toName(id), after, max);
    if (answer === 0) return undefined;
    const [lastSeq, hasEnded, ...texts] = answer as readonly [number, number, ...string[]];
    const events = texts.map((text) => JSON.parse(text) as TaskEvent);
    const seen = events.at(-1)?.seq ?? after;
    return { events, ended: hasEnded === 1 && seen >= lastSeq };
  }

  async waitForEvents(queue: string, id: string, after: number, signal: AbortSignal): Promise<void> {
    await this.#line(queue).waitForEvents(toName(id), after, signal);
  }

  async waitForWork(queue: string, signal: AbortSignal): Promise<void> {
    await this.#line(queue).waitForWork(signal);
  }

  async waitForRevoked(queue: string, worker: string, signal: AbortSignal): Promise<readonly RevokedLease[]> {
    for (;;) {
      signal.throwIfAborted();
      const leases = await this.#line(queue).waitForRevoked(toName(worker), signal);
      const revoked = revokedLeases(leases);
      if (revoked.length > 0) return revoked;
    }
  }

  async deadLetters(
    queue: string,
    { max, after }: { readonly max: number; readonly after?: string },
  ): Promise<readonly TaskStatus[]> {
    const behind = after === undefined ? "" : `a${toName(after)}`;
    const letters = list(await this.#line(queue).ask("deadLetters", max, behind));
    return letters.map((letter) => {
      const [id, status] = letter as readonly [string, unknown];
      return statusOf(fromName(id), status)!;
    });
  }

  async redrive(queue: string, ids: readonly string[]): Promise<readonly RedriveOutcome[]> {
    const outcomes = list(await this.#line(queue).askWith(["redrive", ...idWords(ids)]));
    return outcomes.map((outcome) => REDRIVE_OUTCOMES[Number(outcome)]!);
  }

  async discard(queue: string, ids: readonly string[]): Promise<readonly boolean[]> {
    const outcomes = list(await this.#line(queue).askWith(["discard", ...idWords(ids)]));
    return outcomes.map((outcome) => outcome === 1);
  }

  async stats(queue: string): Promise<QueueStats> {
    const counts = list(await this.#line(queue).ask("stats"));
    const byState = STATES.map((state, index) => [state, counts[index]]);
    return Object.fromEntries(byState) as QueueStats;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const line of this.#lines.values()) line.close();
    this.#lines.clear();
    this.settings.subscription.close();
    this.settings.runner.close();
  }

  #line(queue: string): QueueLine {
    if (this.#isClosed) throw new ClosedError("a task store in redis");
    let line = this.#lines.get(queue);
    if (line === undefined) {
      const name = `${this.prefix}${queue}`;
      line = new QueueLine(this.prefix + hashTagOf(name, TAGS) + queue, this.settings);
      this.#lines.set(queue, line);
    }
    return line;
  }
}

async function assertFit(options: RedisTaskStoreOptions, allowsEviction: boolean): Promise<void> {
  const { version, role, evictionPolicy } = await inspectRedis({
    client: options.client,
    deadline: options.deadline ?? REDIS_TASK_STORE_DEFAULTS.deadlineMs,
  });
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const reasons: string[] = [];
  if (major < 6 || (major === 6 && minor < 2)) reasons.push(`It is version ${version}, older than 6.2.`);
  if (role !== "master" && options.client.isCluster !== true)
    reasons.push(`It is a ${role}, which takes no writes.`);
  if (evictionPolicy !== "noeviction" && !allowsEviction)
    reasons.push(`Its maxmemory-policy is ${evictionPolicy}, which loses tasks; set it to noeviction.`);
  if (reasons.length > 0) throw new StoreUnfitError("redis", reasons);
}

/** Does something once it has gone well, and again as long as it has not. */
function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => {
    done ??= work().catch((error: unknown) => {
      done = undefined;
      throw error;
    });
    return done;
  };
}

function list(answer: unknown): readonly unknown[] {
  return answer as readonly unknown[];
}

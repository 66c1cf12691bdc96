// All queues of a store in Redis: every verb in words of the script, and its answer in the terms of the contract.
import { ClosedError } from "@holdfast/core";
import { hashTagOf } from "@holdfast/core/redis";
import { Lines } from "../store/lines.ts";
import type {
  CancelOutcome,
  Checkpoint,
  ClaimedTask,
  ClaimRequest,
  EnqueueResult,
  EventPage,
  FireOutcome,
  LeaseRef,
  NewTask,
  QueueMeter,
  QueueStats,
  QueueStore,
  QueueStoreTraits,
  RedriveOutcome,
  ReportRequest,
  RevokedLease,
  Schedule,
  Settlement,
  SignalOutcome,
  StoredInput,
  WriteOutcome,
} from "../store/store.ts";
import type { Payload } from "../task/payload.ts";
import type { TaskEvent, TaskState, TaskStatus } from "../task/task-status.ts";
import { enqueueWords } from "./enqueue-words.ts";
import type { LineSettings } from "./queue-line.ts";
import { QueueLine } from "./queue-line.ts";
import {
  checkpointWords,
  claimWords,
  enqueueOutcome,
  idWords,
  recordWords,
  revokedLeases,
  settlementWords,
  whole,
  WRITTEN,
  writeOutcome,
} from "./script-words.ts";
import { STATES, statusesOf, statusOf } from "./stored-status.ts";
import { claimedTasks, fromInputBody, fromName, fromStoredPayload, toName } from "./stored-task.ts";
import type { Word } from "./word.ts";

/** Slots that queues are spread over. All keys of a queue are in one, so that one script can change all of them. */
const TAGS = 16_384;
const CANCEL_OUTCOMES: readonly CancelOutcome[] = ["unknown", "ended", "cancelled"];
const REDRIVE_OUTCOMES: readonly RedriveOutcome[] = ["unknown", "not_failed", "duplicate", "redriven"];
const SIGNAL_OUTCOMES: readonly SignalOutcome[] = ["unknown", "ended", "duplicate", "delivered"];
const FIRE_OUTCOMES: readonly FireOutcome[] = ["stale", "fired", "full"];

export class RedisQueues implements QueueStore {
  readonly traits: QueueStoreTraits = { shared: true, clock: "server", durable: true };
  readonly #lines = new Lines<QueueLine>((queue) => {
    const name = `${this.prefix}${queue}`;
    return new QueueLine(queue, this.prefix + hashTagOf(name, TAGS) + queue, this.settings);
  });
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
    return claimedTasks(await this.#line(queue).ask("claim", ...claimWords(request)));
  }

  async settle(
    queue: string,
    settlements: readonly Settlement[],
    claim?: ClaimRequest,
  ): Promise<{ readonly outcomes: readonly WriteOutcome[]; readonly claimed: readonly ClaimedTask[] }> {
    const words = settlementWords(settlements);
    if (claim === undefined) words.push(0);
    else words.push(1, ...claimWords(claim));
    const answer = await this.#line(queue).askWith(words);
    const outcomes = answer === 1 ? 1 : list(answer)[0];
    return {
      outcomes: outcomes === 1 ? settlements.map(() => WRITTEN) : list(outcomes).map(writeOutcome),
      claimed: claimedTasks(answer),
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

  async checkpoint(
    queue: string,
    lease: LeaseRef,
    checkpoints: readonly Checkpoint[],
  ): Promise<WriteOutcome> {
    return writeOutcome(await this.#line(queue).askWith(checkpointWords(lease, checkpoints)));
  }

  async checkpoints(queue: string, id: string): Promise<readonly Checkpoint[]> {
    const words = list(await this.#line(queue).ask("checkpoints", toName(id))) as readonly string[];
    return Array.from({ length: words.length / 2 }, (_, index) => ({
      name: fromName(words[2 * index]!),
      value: fromStoredPayload(words[2 * index + 1]!),
    }));
  }

  async signal(queue: string, id: string, checkpoint: Checkpoint): Promise<SignalOutcome> {
    const outcome = await this.#line(queue).ask("signal", toName(id), ...recordWords(checkpoint));
    return SIGNAL_OUTCOMES[Number(outcome)]!;
  }

  async children(queue: string, id: string): Promise<readonly TaskStatus[]> {
    return statusesOf(await this.#line(queue).ask("children", toName(id)));
  }

  async cancel(queue: string, ids: readonly string[], reason: string): Promise<readonly CancelOutcome[]> {
    const words = ["cancel", toName(reason), JSON.stringify(reason), ...idWords(ids)];
    return list(await this.#line(queue).askWith(words)).map((outcome) => CANCEL_OUTCOMES[Number(outcome)]!);
  }

  async get(queue: string, ids: readonly string[]): Promise<readonly (TaskStatus | undefined)[]> {
    const answers = list(await this.#line(queue).askWith(["get", ...idWords(ids)]));
    return ids.map((id, index) => statusOf(id, answers[index]));
  }

  async input(queue: string, id: string): Promise<StoredInput | undefined> {
    const stored = await this.#line(queue).ask("input", toName(id));
    return typeof stored === "string" ? fromInputBody(stored) : undefined;
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
    return statusesOf(await this.#line(queue).ask("deadLetters", max, behind));
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

  async meter(queue: string): Promise<QueueMeter> {
    const answer = list(await this.#line(queue).ask("meter")) as readonly number[];
    const [added = 0, started = 0, completed = 0, failed = 0, cancelled = 0, retried = 0] = answer;
    const [waitedMs = 0, ranMs = 0, paused = 0, headAddedAt = 0] = answer.slice(6);
    const sums = { added, started, completed, failed, cancelled, retried, waitedMs, ranMs };
    return { ...sums, ...(headAddedAt === 0 ? {} : { headAddedAt }), paused: paused === 1 };
  }

  async list(queue: string, state: TaskState, max: number): Promise<readonly TaskStatus[]> {
    return statusesOf(await this.#line(queue).ask("list", STATES.indexOf(state) + 1, max));
  }

  async pause(queue: string, paused: boolean): Promise<void> {
    await this.#line(queue).ask("pause", paused ? 1 : 0);
  }

  async setSchedule(queue: string, { key, text, nextAt }: Schedule): Promise<boolean> {
    return (await this.#line(queue).ask("setSchedule", toName(key), toName(text), nextAt)) === 1;
  }

  async removeSchedule(queue: string, key: string): Promise<boolean> {
    return (await this.#line(queue).ask("removeSchedule", toName(key))) === 1;
  }

  async schedules(queue: string): Promise<readonly Schedule[]> {
    const words = list(await this.#line(queue).ask("schedules")) as readonly string[];
    const found: Schedule[] = [];
    for (let at = 0; at < words.length; at += 2) {
      const [key, stored] = [words[at]!, words[at + 1]!];
      const space = stored.indexOf(" ");
      const text = fromName(stored.slice(space + 1));
      found.push({ key: fromName(key), text, nextAt: Number(stored.slice(0, space)) });
    }
    return found.sort((a, b) => a.nextAt - b.nextAt);
  }

  async fire(
    queue: string,
    { key, text, nextAt: at }: Schedule,
    nextAt: number,
    task: NewTask,
    { limit }: { readonly limit: number },
  ): Promise<FireOutcome> {
    const [, ...taskWords] = enqueueWords([[task]], limit);
    const words: Word[] = ["fire", toName(key), toName(text), at, nextAt, taskWords.length, ...taskWords];
    return FIRE_OUTCOMES[Number(await this.#line(queue).askWith(words))]!;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#lines.close();
    this.settings.subscription.close();
    this.settings.runner.close();
  }

  #line(queue: string): QueueLine {
    if (this.#isClosed) throw new ClosedError("a task store in redis");
    return this.#lines.of(queue);
  }
}

function list(answer: unknown): readonly unknown[] {
  return answer as readonly unknown[];
}

// The verbs of a store in PostgreSQL: what is asked of the functions, and what their answers mean.
import { fromStoredText, toStoredText } from "@holdfast/core/postgres";
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
import { inPages } from "../store/in-pages.ts";
import type { Payload } from "../task/payload.ts";
import type { TaskState, TaskStatus } from "../task/task-status.ts";
import type { QueueLine } from "./queue-line.ts";
import type { ClaimRow, StatusRow } from "./stored-task.ts";
import { claimedTask, fromStoredPayload, taskEvent, taskStatus } from "./stored-task.ts";
import { checkpointWords, eventText, settleOutcomes, settleWords, whole, writeOutcome } from "./words.ts";

/** What is done to one task after the other holds up all else in the queue meanwhile: so many in one statement. */
const ONE_BY_ONE = 200;

/** Words out, answers in. How a queue is asked, and its waits, are for those who extend it. */
export abstract class PostgresQueues implements QueueStore {
  readonly traits: QueueStoreTraits = { shared: true, clock: "server", durable: true };

  protected abstract line(queue: string): QueueLine;
  abstract waitForEvents(queue: string, id: string, after: number, signal: AbortSignal): Promise<void>;
  abstract waitForWork(queue: string, signal: AbortSignal): Promise<void>;
  abstract waitForRevoked(
    queue: string,
    worker: string,
    signal: AbortSignal,
  ): Promise<readonly RevokedLease[]>;
  abstract close(): Promise<void>;

  async enqueue(
    queue: string,
    tasks: readonly NewTask[],
    { limit }: { readonly limit: number },
  ): Promise<EnqueueResult> {
    return this.line(queue).enqueue([...tasks], limit);
  }

  async claim(queue: string, request: ClaimRequest): Promise<readonly ClaimedTask[]> {
    return (await this.settle(queue, [], request)).claimed;
  }

  async settle(
    queue: string,
    settlements: readonly Settlement[],
    claim?: ClaimRequest,
  ): Promise<{ readonly outcomes: readonly WriteOutcome[]; readonly claimed: readonly ClaimedTask[] }> {
    if (settlements.length <= ONE_BY_ONE || settlements.every(({ kind }) => kind === "complete"))
      return this.#settleTogether(queue, settlements, claim);
    const from = settlements.length - ONE_BY_ONE;
    const before = await inPages(
      settlements.slice(0, from),
      ONE_BY_ONE,
      async (page) => (await this.#settleTogether(queue, page)).outcomes,
    );
    const { outcomes, claimed } = await this.#settleTogether(queue, settlements.slice(from), claim);
    return { outcomes: [...before, ...outcomes], claimed };
  }

  async #settleTogether(
    queue: string,
    settlements: readonly Settlement[],
    claim?: ClaimRequest,
  ): Promise<{ readonly outcomes: readonly WriteOutcome[]; readonly claimed: readonly ClaimedTask[] }> {
    const asked = settleWords(settlements, claim);
    const [completed, others, claimed] = await this.line(queue).ask<SettleAnswer>(...asked.words);
    return {
      outcomes: settleOutcomes(asked, [completed, others]),
      claimed: inOrder(claimed.map(claimedTask)),
    };
  }

  async renew(queue: string, leases: readonly LeaseRef[], leaseMs: number): Promise<readonly WriteOutcome[]> {
    const refs = leases.map(({ id, fence }) => [toStoredText(id), fence]);
    return (await this.line(queue).ask<Writes>("renew", whole(leaseMs), refs)).map(writeOutcome);
  }

  async report(queue: string, requests: readonly ReportRequest[]): Promise<readonly WriteOutcome[]> {
    const words = requests.map(({ id, fence, reports }) => [
      toStoredText(id),
      fence,
      reports.map((report) =>
        report.kind === "progress"
          ? [
              JSON.stringify(report.value) ?? "null",
              eventText({ type: "progress", value: report.value ?? null }),
            ]
          : [null, eventText({ type: "log", line: report.line })],
      ),
    ]);
    return (await this.line(queue).ask<Writes>("report", words)).map(writeOutcome);
  }

  async checkpoint(
    queue: string,
    { id, fence }: LeaseRef,
    checkpoints: readonly Checkpoint[],
  ): Promise<WriteOutcome> {
    const words = checkpoints.map((checkpoint) => checkpointWords(checkpoint, "checkpoint"));
    return writeOutcome(await this.line(queue).ask("checkpoint", toStoredText(id), fence, words));
  }

  async checkpoints(queue: string, id: string): Promise<readonly Checkpoint[]> {
    const rows = await this.line(queue).ask<readonly CheckpointRow[]>("checkpoints", toStoredText(id));
    return rows.map(([name, ...value]) => ({
      name: fromStoredText(name),
      value: fromStoredPayload(...value),
    }));
  }

  async signal(queue: string, id: string, checkpoint: Checkpoint): Promise<SignalOutcome> {
    return this.line(queue).ask("signal", toStoredText(id), checkpointWords(checkpoint, "signalled"));
  }

  async children(queue: string, id: string): Promise<readonly TaskStatus[]> {
    return (await this.line(queue).ask<readonly StatusRow[]>("children", toStoredText(id))).map(taskStatus);
  }

  async cancel(queue: string, ids: readonly string[], reason: string): Promise<readonly CancelOutcome[]> {
    const event = eventText({ type: "cancelled", reason });
    const line = this.line(queue);
    return inPages(ids, ONE_BY_ONE, (page) =>
      line.ask("cancel", toStoredText(reason), event, page.map(toStoredText)),
    );
  }

  async get(queue: string, ids: readonly string[]): Promise<readonly (TaskStatus | undefined)[]> {
    const rows = await this.line(queue).ask<readonly (StatusRow | null)[]>("get", ids.map(toStoredText));
    return rows.map((row) => (row === null ? undefined : taskStatus(row)));
  }

  async input(queue: string, id: string): Promise<StoredInput | undefined> {
    const row = await this.line(queue).ask<InputRow | null>("input", toStoredText(id));
    if (row === null) return undefined;
    const [name, meta, ...stored] = row;
    const given = { name: fromStoredText(name), input: fromStoredPayload(...stored) };
    return meta === null ? given : { ...given, meta: fromStoredText(meta) };
  }

  async result(queue: string, id: string): Promise<Payload | undefined> {
    const row = await this.line(queue).ask<PayloadRow | null>("result", toStoredText(id));
    return row === null ? undefined : fromStoredPayload(...row);
  }

  async events(queue: string, id: string, after: number, max: number): Promise<EventPage | undefined> {
    const words = ["events", toStoredText(id), after, max];
    const answer = await this.line(queue).ask<EventsAnswer | null>(...words);
    if (answer === null) return undefined;
    const [lastSeq, hasEnded, rows] = answer;
    const events = rows.map(taskEvent);
    const seen = events.at(-1)?.seq ?? after;
    return { events, ended: hasEnded && seen >= lastSeq };
  }

  async deadLetters(
    queue: string,
    { max, after }: { readonly max: number; readonly after?: string },
  ): Promise<readonly TaskStatus[]> {
    const behind = after === undefined ? null : toStoredText(after);
    const rows = await this.line(queue).ask<readonly StatusRow[]>("deadLetters", max, behind);
    return rows.map(taskStatus);
  }

  async redrive(queue: string, ids: readonly string[]): Promise<readonly RedriveOutcome[]> {
    const line = this.line(queue);
    return inPages(ids, ONE_BY_ONE, (page) => line.ask("redrive", page.map(toStoredText)));
  }

  async discard(queue: string, ids: readonly string[]): Promise<readonly boolean[]> {
    const line = this.line(queue);
    return inPages(ids, ONE_BY_ONE, (page) => line.ask("discard", page.map(toStoredText)));
  }

  async stats(queue: string): Promise<QueueStats> {
    const [scheduled, waiting, ready, running, completed, failed, cancelled] =
      await this.line(queue).ask<Numbers>("stats");
    return { scheduled, waiting, ready, running, completed, failed, cancelled };
  }

  async meter(queue: string): Promise<QueueMeter> {
    const [added, started, completed, failed, cancelled, retried, waitedMs, ranMs, paused, headAddedAt] =
      await this.line(queue).ask<MeterAnswer>("meter");
    const head = headAddedAt === null ? {} : { headAddedAt };
    return { added, started, completed, failed, cancelled, retried, waitedMs, ranMs, ...head, paused };
  }

  async list(queue: string, state: TaskState, max: number): Promise<readonly TaskStatus[]> {
    return (await this.line(queue).ask<readonly StatusRow[]>("list", state, max)).map(taskStatus);
  }

  async pause(queue: string, paused: boolean): Promise<void> {
    await this.line(queue).ask("pause", paused);
  }

  async setSchedule(queue: string, { key, text, nextAt }: Schedule): Promise<boolean> {
    return this.line(queue).ask("setSchedule", toStoredText(key), toStoredText(text), nextAt);
  }

  async removeSchedule(queue: string, key: string): Promise<boolean> {
    return this.line(queue).ask("removeSchedule", toStoredText(key));
  }

  async schedules(queue: string): Promise<readonly Schedule[]> {
    const rows = await this.line(queue).ask<readonly ScheduleRow[]>("schedules");
    return rows.map(([key, text, nextAt]) => ({
      key: fromStoredText(key),
      text: fromStoredText(text),
      nextAt,
    }));
  }

  async fire(
    queue: string,
    { key, text, nextAt }: Schedule,
    next: number,
    task: NewTask,
    { limit }: { readonly limit: number },
  ): Promise<FireOutcome> {
    const words = [toStoredText(key), toStoredText(text), nextAt, next];
    return (await this.line(queue).fire(words, task, limit)) as FireOutcome;
  }
}

/** Fences rise in the order of claims; sorted here, where it costs nothing when they are in order already. */
function inOrder(claimed: ClaimedTask[]): readonly ClaimedTask[] {
  return claimed.sort((one, other) => one.fence - other.fence);
}

type Writes = readonly (0 | 1 | string)[];
type SettleAnswer = readonly [completed: 1 | Writes, others: Writes, claimed: readonly ClaimRow[]];
type InputRow = readonly [name: string, meta: string | null, ...input: PayloadRow];
type PayloadRow = readonly [text: string, bytes: string | null];
type CheckpointRow = readonly [name: string, text: string, bytes: string | null];
type EventsAnswer = readonly [number, boolean, readonly (readonly [number, number, string])[]];
type ScheduleRow = readonly [key: string, text: string, nextAt: number];
type Numbers = readonly [number, number, number, number, number, number, number];
type MeterAnswer = readonly [...Numbers, number, boolean, number | null];

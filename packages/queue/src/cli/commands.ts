// What each command does, and its answer: as data for scripts and as text for people.
import { hasCode } from "@holdfast/core";
import { TaskNotFoundError } from "../errors.ts";
import { discardAll, redriveAll } from "../operate/every-dead-letter.ts";
import { duration, fromNow, waitingFor } from "../operate/format.ts";
import type { Queue } from "../queue/queue-contract.ts";
import type { Checkpoint } from "../store/store.ts";
import type { Payload } from "../task/payload.ts";
import type { TaskEvent, TaskStatus } from "../task/task-status.ts";
import type { ExitCode } from "./cli-errors.ts";
import { EXIT } from "./cli-errors.ts";
import type { CommandLine, CommandName } from "./command-line.ts";
import type { Check } from "./doctor.ts";
import { queueChecks } from "./doctor.ts";
import type { Access } from "./store-access.ts";
import { plain, table, time } from "./text.ts";

/** An answer in both forms, and how the command ends. */
export interface Answer {
  readonly data: unknown;
  /** @param columns - Of the terminal. */
  readonly text: (columns: number) => string;
  readonly exit: ExitCode;
}

type Command = (line: CommandLine, access: Access) => Promise<Answer>;

/** Dead letters that `--all` takes. */
const MOST = 10_000_000;
const MAX_EVENTS = 1_000;

/** All but `watch`, which has more than one answer. */
export const COMMANDS: Readonly<Record<Exclude<CommandName, "watch">, Command>> = {
  stats: async (_, { queue }) => {
    const [counts, meter] = await Promise.all([queue.stats(), queue.meter()]);
    const { headAddedAt, paused, waitedMs, ranMs, ...sofar } = meter;
    const now = queue.clock.now();
    const rows = [
      ...Object.entries(counts),
      ...Object.entries(sofar).map(([name, value]): [string, number] => [`${name} so far`, value]),
    ];
    const means = [
      `mean wait of a start ${duration(waitedMs / Math.max(1, sofar.started))}`,
      `mean run ${duration(ranMs / Math.max(1, sofar.completed))}`,
      headAddedAt === undefined ? "nothing waits" : `the next was added ${fromNow(headAddedAt, now)}`,
      ...(paused ? ["paused"] : []),
    ];
    return fine(
      { queue: queue.name, counts, meter },
      (columns) => `${table(rows, columns)}${means.join(" · ")}\n`,
    );
  },
  list: async ({ state, max }, { queue }) => tasksAnswer(queue, await queue.list(state!, max)),
  "dead-letters": async ({ max, after }, { queue }) =>
    tasksAnswer(queue, await queue.deadLetters({ max, ...(after === undefined ? {} : { after }) })),
  inspect: async ({ ids, payloads }, { queue }) => inspect(queue, ids[0]!, payloads),
  redrive: async ({ ids, all }, { queue }) => {
    if (all) return changed("redriven", await redriveAll(queue, { max: MOST }));
    return outcomes("redriven", ids, await queue.store.redrive(queue.name, ids));
  },
  discard: async ({ ids, all }, { queue }) => {
    if (all) return changed("discarded", await discardAll(queue, { max: MOST }));
    const gone = await queue.store.discard(queue.name, ids);
    return outcomes(
      "discarded",
      ids,
      gone.map((isGone) => (isGone ? "discarded" : "not_ended")),
    );
  },
  cancel: async ({ ids, reason }, { queue }) =>
    outcomes("cancelled", ids, await queue.store.cancel(queue.name, ids, reason.slice(0, 500))),
  pause: async (_, { queue }) => {
    await queue.pause();
    return fine({ paused: true }, () => "paused: nothing is started any more; what runs goes on\n");
  },
  resume: async (_, { queue }) => {
    await queue.resume();
    return fine({ paused: false }, () => "resumed\n");
  },
  schedules: async (_, { queue }) => {
    const schedules = await queue.schedules();
    const now = queue.clock.now();
    const rows = schedules.map(({ key, nextAt, text }) => [key, time(nextAt), fromNow(nextAt, now), text]);
    return fine({ schedules }, (columns) => (rows.length === 0 ? "no schedules\n" : table(rows, columns)));
  },
  doctor: async (_, { queue, checks }) => {
    const server = await checks();
    const found = [...server, ...(await queueChecks(queue).catch((error: unknown) => [unfit(error)]))];
    const isFaulty = found.some(({ level }) => level === "fault");
    const rows = found.map(({ name, level, text }) => [level, name, text]);
    return {
      data: { fit: !isFaulty, checks: found },
      text: () => table(rows, 1_000),
      exit: isFaulty ? EXIT.no : EXIT.fine,
    };
  },
  migrate: async ({ dryRun }, { migrate }) => {
    const { pending, statements } = await migrate(dryRun);
    const done = dryRun ? "to be applied" : "applied";
    return fine({ dryRun, migrations: pending, ...(dryRun ? { statements } : {}) }, () =>
      pending.length === 0
        ? "up to date\n"
        : `${dryRun ? statements.map((one) => `${one.trim()};\n\n`).join("") : ""}${pending.map((one) => `${done}: ${one}\n`).join("")}`,
    );
  },
};

/** A store that refuses its server is one more finding; any other failure is one. */
function unfit(error: unknown): Check {
  if (!hasCode(error, "STORE_UNFIT")) throw error;
  return { name: "queue", level: "fault", text: error.message };
}

function fine(data: unknown, text: Answer["text"]): Answer {
  return { data, text, exit: EXIT.fine };
}

function tasksAnswer(queue: Queue, tasks: readonly TaskStatus[]): Answer {
  const now = queue.clock.now();
  const rows = tasks.map((task) => [
    task.id,
    task.name,
    `${task.attempt}/${task.maxAttempts}`,
    remarkOf(task, now),
  ]);
  return fine({ tasks }, (columns) => (rows.length === 0 ? "none\n" : table(rows, columns)));
}

/** @throws TaskNotFoundError */
async function inspect(queue: Queue, id: string, showsPayloads: boolean): Promise<Answer> {
  const { store, name } = queue;
  const task = await queue.status(id);
  const [page, checkpoints, children, input, result] = await Promise.all([
    store.events(name, id, Math.max(0, task.lastSeq - MAX_EVENTS), MAX_EVENTS),
    store.checkpoints(name, id),
    store.children(name, id),
    showsPayloads ? store.input(name, id) : undefined,
    showsPayloads ? store.result(name, id) : undefined,
  ]);
  if (page === undefined) throw new TaskNotFoundError(id);
  const { events } = page;
  const steps = checkpoints.map((one) => one.name);
  const now = queue.clock.now();
  const facts = Object.entries(task)
    .filter(([key]) => key !== "lastSeq")
    .map(([key, value]) => [
      key,
      key.endsWith("At") ? `${time(Number(value))}, ${fromNow(Number(value), now)}` : shown(value),
    ]);
  const life = events.map(({ seq: _seq, at, type, ...rest }) => [
    time(at),
    `+${duration(Math.max(0, at - task.enqueuedAt))}`,
    type,
    wordsOf(rest),
  ]);
  const payloads = showsPayloads ? storedPayloads(input?.input, result, checkpoints) : [];
  const data = { task, events, steps, children, ...(showsPayloads ? { payloads } : {}) };
  return fine(data, (columns) =>
    [
      table(facts, columns),
      ...payloads.map((one) => `\n${plain(headOf(one))}:\n${plain(one.text)}\n`),
      ...(steps.length > 0 ? [`\nsteps: ${steps.map(plain).join(", ")}\n`] : []),
      ...(children.length > 0
        ? [
            `\n${table(
              children.map((child) => [child.id, child.name, child.state]),
              columns,
            )}`,
          ]
        : []),
      `\n${table(life, columns)}`,
    ].join(""),
  );
}

/** A payload as it is stored, whatever codecs it went through: its JSON, and the bytes beside it in Base64. */
interface StoredPayload {
  readonly part: "input" | "result" | "step";
  /** Of the step. */
  readonly name?: string;
  readonly text: string;
  readonly blobs: readonly string[];
}

function storedPayloads(
  input: Payload | undefined,
  result: Payload | undefined,
  checkpoints: readonly Checkpoint[],
): readonly StoredPayload[] {
  const shownOf = ({ text, blobs }: Payload): Pick<StoredPayload, "text" | "blobs"> => ({
    text,
    blobs: blobs.map((blob) => Buffer.from(blob).toString("base64")),
  });
  return [
    ...(input === undefined ? [] : [{ part: "input" as const, ...shownOf(input) }]),
    ...checkpoints.map(({ name, value }) => ({ part: "step" as const, name, ...shownOf(value) })),
    ...(result === undefined ? [] : [{ part: "result" as const, ...shownOf(result) }]),
  ];
}

function headOf({ part, name, blobs }: StoredPayload): string {
  const bytes = blobs.map((blob) => Buffer.from(blob, "base64").byteLength).join(" and ");
  return `${part}${name === undefined ? "" : ` ${name}`}${blobs.length === 0 ? "" : `, beside it ${bytes} bytes`}`;
}

function changed(what: string, count: number): Answer {
  return fine({ changed: count }, () => `${count} ${what}\n`);
}

/** What became of each task that was named; a failure when nothing was changed of any. */
function outcomes(what: string, ids: readonly string[], each: readonly string[]): Answer {
  const count = each.filter((outcome) => outcome === what).length;
  const results = ids.map((id, index) => ({ id, outcome: each[index]! }));
  const rows = results.map(({ id, outcome }) => [id, outcome.replace("_", " ")]);
  return {
    data: { changed: count, tasks: results },
    text: (columns) => table(rows, columns),
    exit: count > 0 ? EXIT.fine : EXIT.no,
  };
}

function remarkOf(task: TaskStatus, now: number): string {
  switch (task.state) {
    case "scheduled":
      return `due ${fromNow(task.dueAt, now)}`;
    case "waiting":
      return waitingFor(task);
    case "ready":
      return `added ${fromNow(task.enqueuedAt, now)}`;
    case "running":
      return `since ${fromNow(task.startedAt, now)} on ${task.worker}`;
    case "completed":
      return `completed ${fromNow(task.finishedAt, now)}`;
    case "failed":
      return `${fromNow(task.finishedAt, now)}, ${task.error.code}: ${task.error.message}`;
    case "cancelled":
      return `${fromNow(task.finishedAt, now)}, ${task.reason}`;
  }
}

function wordsOf(event: object): string {
  const rest = event as Partial<Extract<TaskEvent, { readonly type: "retrying" }>>;
  if (rest.error !== undefined) return `${rest.error.code}: ${rest.error.message}`;
  return Object.values(event).map(shown).join(" ");
}

function shown(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}

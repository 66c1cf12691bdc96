// The command line as data, or as an error that says what is wrong with it.
import { parseArgs } from "node:util";
import { toMs } from "@holdfast/core";
import type { Duration } from "@holdfast/core";
import type { TaskState } from "../task/task-status.ts";
import { CliUsageError } from "./cli-errors.ts";

export type CommandName =
  | "stats"
  | "list"
  | "inspect"
  | "dead-letters"
  | "redrive"
  | "discard"
  | "cancel"
  | "pause"
  | "resume"
  | "schedules"
  | "doctor"
  | "migrate"
  | "watch";

/** Where the tasks are. */
export type Server =
  | { readonly kind: "redis"; readonly url: string; readonly prefix: string | undefined }
  | { readonly kind: "postgres"; readonly url: string; readonly schema: string | undefined };

export interface CommandLine {
  readonly command: CommandName;
  readonly server: Server;
  /** Empty for `migrate`, which concerns all. */
  readonly queue: string;
  readonly state: TaskState | undefined;
  readonly ids: readonly string[];
  readonly all: boolean;
  readonly yes: boolean;
  readonly json: boolean;
  readonly dryRun: boolean;
  /** Whether inputs, results and values of steps are shown. */
  readonly payloads: boolean;
  readonly max: number;
  readonly after: string | undefined;
  readonly reason: string;
  readonly timeoutMs: number;
  readonly everyMs: number;
  /** How often `watch` looks; without it, until it is stopped. */
  readonly count: number | undefined;
}

const STATES: readonly TaskState[] = [
  "scheduled",
  "waiting",
  "ready",
  "running",
  "completed",
  "failed",
  "cancelled",
];

/** What each command takes beside its options. */
const TAKES: Readonly<Record<CommandName, "nothing" | "STATE" | "ID" | "IDs">> = {
  stats: "nothing",
  list: "STATE",
  inspect: "ID",
  "dead-letters": "nothing",
  redrive: "IDs",
  discard: "IDs",
  cancel: "IDs",
  pause: "nothing",
  resume: "nothing",
  schedules: "nothing",
  doctor: "nothing",
  migrate: "nothing",
  watch: "nothing",
};

const OPTIONS = {
  redis: { type: "string" },
  postgres: { type: "string" },
  prefix: { type: "string" },
  schema: { type: "string" },
  queue: { type: "string", short: "q" },
  max: { type: "string" },
  after: { type: "string" },
  reason: { type: "string" },
  timeout: { type: "string" },
  every: { type: "string" },
  count: { type: "string" },
  all: { type: "boolean" },
  yes: { type: "boolean" },
  json: { type: "boolean" },
  "dry-run": { type: "boolean" },
  payloads: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

export const HELP = `holdfast-queue COMMAND --redis URL | --postgres URL --queue NAME

Look
  stats                      tasks by state, and what has happened so far
  list STATE                 tasks that are scheduled, waiting, ready, running, completed, failed or cancelled
  inspect ID                 one task with its events, steps and children; --payloads shows its input, its result and what
                             its steps came to, as they are stored
  dead-letters               failed tasks, the oldest failure first; --after ID goes on behind one
  schedules                  when tasks are added by themselves
  watch                      throughput, every --every 2s, until it is stopped or --count N times
  doctor                     whether the server is fit for tasks, and whether the queue is well

Change
  redrive ID… | --all        makes failed tasks ready again, with all their tries
  discard ID… | --all --yes  forgets failed tasks (by ID: any that have ended)
  cancel ID…                 ends tasks that have not ended; --reason TEXT
  pause, resume              whether anything is started
  migrate                    brings the tables in PostgreSQL up to date; --dry-run prints the statements

Options
  --redis URL                such as redis://127.0.0.1:6379; --prefix TEXT if its keys have one of their own
  --postgres URL             such as postgres://user@127.0.0.1/app; --schema NAME if its tables have one of their own
  --queue, -q NAME           the queue's name
  --max N                    tasks shown, from 1 to 1000 (50)
  --timeout DURATION         how long all of it may take: 500ms, 10s, 2m (10s)
  --json                     JSON instead of text

Ends with 0 when all is well, 1 when a task is not there, nothing could be changed or the doctor found a fault,
2 when it was asked wrongly, 3 when the store could not be asked.
`;

/**
 * @returns `"help"` when that was asked for.
 * @throws CliUsageError
 */
export function readCommandLine(args: readonly string[]): CommandLine | "help" {
  const { values, positionals } = parsed(args);
  const [name, ...rest] = positionals;
  if (values.help === true || name === "help") return "help";
  const command = commandOf(name);
  const all = values.all === true;
  const ids = argumentsOf(command, rest, all);
  const state = command === "list" ? stateOf(ids[0]!) : undefined;
  const server = serverOf(values.redis, values.postgres, values.prefix, values.schema);
  if (command === "migrate" && server.kind !== "postgres")
    throw new CliUsageError("migrate", "Redis has no tables", "Give --postgres URL.");
  if (values["dry-run"] === true && command !== "migrate")
    throw new CliUsageError("--dry-run", `is not for ${command}`, "It shows what migrate would do.");
  if (values.payloads === true && command !== "inspect")
    throw new CliUsageError("--payloads", `is not for ${command}`, "It shows what inspect leaves out.");
  if (all && command !== "redrive" && command !== "discard")
    throw new CliUsageError(
      "--all",
      `is not for ${command}`,
      "It is for redrive and discard: all dead letters.",
    );
  if (all && command === "discard" && values.yes !== true)
    throw new CliUsageError("--all", "forgets all dead letters for good", "Say so with --yes.");
  return {
    command,
    server,
    queue: queueOf(command, values.queue),
    state,
    ids: state === undefined ? ids : [],
    all,
    yes: values.yes === true,
    json: values.json === true,
    dryRun: values["dry-run"] === true,
    payloads: values.payloads === true,
    max: wholeOf("--max", values.max, 1, 1_000) ?? 50,
    after: values.after,
    reason: values.reason ?? "cancelled from the command line",
    timeoutMs: durationOf("--timeout", values.timeout, 10_000),
    everyMs: durationOf("--every", values.every, 2_000),
    count: wholeOf("--count", values.count, 1, 1_000_000),
  };
}

type Flag = "all" | "yes" | "json" | "dry-run" | "payloads" | "help";

function parsed(args: readonly string[]): {
  readonly values: Partial<Record<Flag, boolean>> &
    Partial<Record<Exclude<keyof typeof OPTIONS, Flag>, string>>;
  readonly positionals: readonly string[];
} {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true, strict: true });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const option = /'(-[^' ]*)/.exec(message)?.[1] ?? "arguments";
    const what =
      (error as { readonly code?: unknown }).code === "ERR_PARSE_ARGS_UNKNOWN_OPTION"
        ? "is no option"
        : "has no value, or one too many";
    throw new CliUsageError(option, what, "See holdfast-queue --help.");
  }
}

function commandOf(name: string | undefined): CommandName {
  const names = Object.keys(TAKES) as readonly CommandName[];
  const command = names.find((one) => one === name);
  if (command !== undefined) return command;
  const what = name === undefined ? "is missing" : "is no command";
  throw new CliUsageError(name ?? "COMMAND", what, `There are ${names.join(", ")}.`);
}

function argumentsOf(command: CommandName, rest: readonly string[], all: boolean): readonly string[] {
  const takes = TAKES[command];
  const surplus = takes === "nothing" ? rest[0] : takes === "IDs" ? undefined : rest[1];
  if (surplus !== undefined)
    throw new CliUsageError(surplus, `is one argument too many for ${command}`, "See holdfast-queue --help.");
  if (all && rest.length > 0)
    throw new CliUsageError("--all", "and IDs exclude each other", "Leave one of them out.");
  if (takes !== "nothing" && rest.length === 0 && !all) {
    const or = command === "redrive" || command === "discard" ? ", or --all" : "";
    throw new CliUsageError(
      takes,
      "is missing",
      `${command} takes ${takes === "IDs" ? "IDs of tasks" : takes}${or}.`,
    );
  }
  return rest;
}

function stateOf(text: string): TaskState {
  const state = STATES.find((one) => one === text);
  if (state === undefined) throw new CliUsageError(text, "is no state", `There are ${STATES.join(", ")}.`);
  return state;
}

function serverOf(
  redis: string | undefined,
  postgres: string | undefined,
  prefix: string | undefined,
  schema: string | undefined,
): Server {
  if (redis !== undefined && postgres !== undefined)
    throw new CliUsageError("--postgres", "and --redis exclude each other", "Leave one of them out.");
  if (redis !== undefined) {
    if (schema !== undefined)
      throw new CliUsageError("--schema", "is for --postgres", "For Redis there is --prefix.");
    return { kind: "redis", url: urlOf("--redis", redis, ["redis:", "rediss:"]), prefix };
  }
  if (postgres !== undefined) {
    if (prefix !== undefined)
      throw new CliUsageError("--prefix", "is for --redis", "For PostgreSQL there is --schema.");
    return { kind: "postgres", url: urlOf("--postgres", postgres, ["postgres:", "postgresql:"]), schema };
  }
  throw new CliUsageError(
    "--redis",
    "or --postgres is missing",
    "Say where the tasks are, such as --redis redis://127.0.0.1:6379.",
  );
}

/** The URL is not repeated in the message: it may hold a password. */
function urlOf(option: string, text: string, protocols: readonly string[]): string {
  if (URL.canParse(text) && protocols.includes(new URL(text).protocol)) return text;
  throw new CliUsageError(option, "is no such URL", `It begins with ${protocols[0]}//.`);
}

function queueOf(command: CommandName, name: string | undefined): string {
  if (name !== undefined) {
    if (/^[\w.-]{1,100}$/.test(name)) return name;
    throw new CliUsageError(
      "--queue",
      "is no name of a queue",
      "Those have letters, digits, dots, hyphens and underscores.",
    );
  }
  if (command === "migrate") return "";
  throw new CliUsageError("--queue", "is missing", "Name the queue.");
}

function wholeOf(option: string, text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d{1,7}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new CliUsageError(
    option,
    `is not ${JSON.stringify(text)}`,
    `It is a whole number from ${min} to ${max}.`,
  );
}

function durationOf(option: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  try {
    const ms = toMs(text as Duration);
    if (ms >= 1) return ms;
  } catch {
    // Said below, with the option's name.
  }
  throw new CliUsageError(
    option,
    `is not ${JSON.stringify(text)}`,
    "It is a duration such as 500ms, 10s or 2m.",
  );
}

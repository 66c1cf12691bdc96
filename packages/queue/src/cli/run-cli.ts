// Runs one command line: reads it, opens the store, answers within its time, closes what it has opened.
import type { Clock } from "@holdfast/core";
import { formatDuration, hasCode, isHoldfastError } from "@holdfast/core";
import type { ExitCode } from "./cli-errors.ts";
import { CliTimeoutError, CliUsageError, EXIT, MissingPeerError } from "./cli-errors.ts";
import type { CommandLine } from "./command-line.ts";
import { HELP, readCommandLine } from "./command-line.ts";
import { COMMANDS } from "./commands.ts";
import type { Access } from "./store-access.ts";
import { openStore } from "./store-access.ts";
import { plain } from "./text.ts";
import { watch } from "./watch.ts";

/** Where a command runs. */
export interface CliHost {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly clock: Clock;
  /** Ends `watch`. */
  readonly stop: AbortSignal;
  /** Of the terminal. */
  readonly columns: number;
}

export async function runCli(args: readonly string[], host: CliHost): Promise<ExitCode> {
  const isJson = args.includes("--json");
  try {
    const line = readCommandLine(args);
    if (line !== "help") return await carryOut(line, host);
    host.out(HELP);
    return EXIT.fine;
  } catch (error) {
    const { code, message } = described(error);
    host.err(isJson ? `${JSON.stringify({ error: { code, message } })}\n` : `${plain(message)}\n`);
    return exitOf(error);
  }
}

async function carryOut(line: CommandLine, host: CliHost): Promise<ExitCode> {
  const access = await inTime(line, host.clock, openStore(line));
  try {
    await inTime(line, host.clock, access.ready());
    if (line.command === "watch") {
      await watch(line, access.queue, host.clock, host.stop, host.out);
      return EXIT.fine;
    }
    const { data, text, exit } = await inTime(line, host.clock, COMMANDS[line.command](line, access));
    host.out(line.json ? `${JSON.stringify(data)}\n` : text(host.columns));
    return exit;
  } finally {
    await closed(access, host.clock);
  }
}

/** Every call has a deadline of its own; this is for all of them together. */
async function inTime<T>({ timeoutMs }: CommandLine, clock: Clock, work: Promise<T>): Promise<T> {
  const over = new AbortController();
  const limit = clock.sleep(timeoutMs, over.signal, { keepAlive: true }).then(() => {
    throw new CliTimeoutError(formatDuration(timeoutMs));
  });
  limit.catch(() => {});
  try {
    return await Promise.race([work, limit]);
  } finally {
    over.abort();
    // What comes too late is nobody's.
    work.catch(() => {});
  }
}

/** A store that does not let go is left behind: the process ends without it. */
async function closed(access: Access, clock: Clock): Promise<void> {
  const over = new AbortController();
  const limit = clock.sleep(1_000, over.signal, { keepAlive: true }).catch(() => {});
  await Promise.race([access.close().catch(() => {}), limit]);
  over.abort();
}

function described(error: unknown): { readonly code: string; readonly message: string } {
  if (isHoldfastError(error)) return { code: error.code, message: error.message };
  const message = error instanceof Error ? error.message : String(error);
  return { code: "INTERNAL", message };
}

function exitOf(error: unknown): ExitCode {
  if (error instanceof CliUsageError || hasCode(error, "INVALID_OPTION")) return EXIT.usage;
  if (error instanceof MissingPeerError) return EXIT.usage;
  return hasCode(error, "TASK_NOT_FOUND") || hasCode(error, "STORE_UNFIT") ? EXIT.no : EXIT.unavailable;
}

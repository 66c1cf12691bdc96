// What a handler is told of its run, and what it may say.
import { UnserializableError } from "../errors.ts";
import type { Steps } from "../steps/contract.ts";
import type { ClaimedTask, TaskReport } from "../store/store.ts";
import { checkPayloadSize } from "../task/payload.ts";
import type { TaskContext } from "./handler.ts";

/** A run as its handler's context sees it. */
export interface RunView {
  readonly claimed: ClaimedTask;
  readonly signal: AbortSignal;
  readonly aborted: boolean;
  readonly reason: Error | undefined;
  readonly remainingMs: number;
  readonly steps: Steps;
  report(report: TaskReport): Promise<void>;
}

const MAX_PROGRESS_BYTES = 8_192;
const MAX_LINE = 2_000;

/** What a handler is given of its run. */
export class RunContext implements TaskContext<never> {
  readonly #run: RunView;

  constructor(
    run: RunView,
    readonly input: never,
  ) {
    this.#run = run;
  }

  get id(): string {
    return this.#run.claimed.id;
  }

  get attempt(): number {
    return this.#run.claimed.attempt;
  }

  get maxAttempts(): number {
    return this.#run.claimed.maxAttempts;
  }

  get fence(): number {
    return this.#run.claimed.fence;
  }

  get signal(): AbortSignal {
    return this.#run.signal;
  }

  get aborted(): boolean {
    return this.#run.aborted;
  }

  get remainingMs(): number {
    return this.#run.remainingMs;
  }

  get step(): Steps {
    return this.#run.steps;
  }

  throwIfAborted(): void {
    if (this.#run.reason !== undefined) throw this.#run.reason;
  }

  // Functions that stand for themselves, made when they are asked for.
  get progress(): (value: unknown) => Promise<void> {
    return (value) => quiet(this.#report(() => ({ kind: "progress", value: plain(value) })));
  }

  get log(): (line: string) => Promise<void> {
    return (line) => quiet(this.#report(() => ({ kind: "log", line: String(line).slice(0, MAX_LINE) })));
  }

  async #report(make: () => TaskReport): Promise<void> {
    await this.#run.report(make());
  }
}

// Whoever does not await a report must not be ended by it.
function quiet(reported: Promise<void>): Promise<void> {
  reported.catch(() => {});
  return reported;
}

/** Progress as plain JSON of its own. */
function plain(value: unknown): unknown {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw new UnserializableError("progress cannot be written as JSON", { cause: error });
  }
  if (text === undefined) throw new UnserializableError("progress cannot be written as JSON");
  checkPayloadSize({ text, blobs: [] }, MAX_PROGRESS_BYTES);
  return JSON.parse(text) as unknown;
}

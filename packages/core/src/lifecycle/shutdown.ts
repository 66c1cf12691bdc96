// Shutdown: on a signal, ends the parts of a process in order and within a deadline, and says who was cut.
import { asError, TimeoutError } from "../errors/errors.ts";
import { optionsOf } from "../options.ts";
import { channel } from "../telemetry/channel.ts";
import type { Clock } from "../time/clock.ts";
import type { Duration } from "../time/duration.ts";
import { systemClock } from "../time/system-clock.ts";

/** Ends one part. `remainingMs` is what it may take; the signal aborts when that is over. */
export type ShutdownHook = (context: {
  readonly signal: AbortSignal;
  readonly remainingMs: number;
}) => unknown;

export interface ShutdownHookOptions {
  /** Names of hooks that must have ended, well or not, before this one starts. They are registered before it. */
  readonly after?: readonly string[];
  /** How long this hook may take. @defaultValue what is left of the whole */
  readonly deadline?: Duration;
}

/** What `shutdown` needs of `process`; tests pass their own. */
export interface ShutdownProcess {
  on(event: string, listener: () => void): unknown;
  off(event: string, listener: () => void): unknown;
  exit(code: number): unknown;
}

export interface ShutdownOptions {
  /** @defaultValue ["SIGTERM", "SIGINT"] */
  readonly signals?: readonly string[];
  /** For all hooks together. @defaultValue "10s" */
  readonly deadline?: Duration;
  /** Whether a signal ends with `process.exit`: 0 when all went well, 1 when not. @defaultValue true */
  readonly exit?: boolean;
  /** @defaultValue the host's process */
  readonly process?: ShutdownProcess;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** How one hook ended. `cut`: it had not ended when its time was up. */
export interface HookOutcome {
  readonly name: string;
  readonly status: "done" | "failed" | "cut";
  readonly tookMs: number;
  readonly error?: Error;
}

/** Published as `holdfast:core:shutdown` once all has ended. */
export interface ShutdownReport {
  readonly reason: string;
  /** Whether every hook ended well and in time. */
  readonly clean: boolean;
  readonly hooks: readonly HookOutcome[];
}

export interface Shutdown {
  /**
   * Registers what must be ended. Hooks without `after` start at once, all together.
   * @throws InvalidOptionError for a name that is taken, or an `after` that is not registered yet.
   */
  onShutdown(name: string, hook: ShutdownHook, options?: ShutdownHookOptions): void;
  /** Starts it by hand, without `process.exit`. The first call counts; later ones get the same report. Never rejects. */
  trigger(reason: string): Promise<ShutdownReport>;
  /** Whether it has begun. */
  readonly started: boolean;
  /** Stops listening for signals. */
  dispose(): void;
}

const ended = /* @__PURE__ */ channel<ShutdownReport>("core", "shutdown");

/**
 * Listens for signals and ends the process in order. A second signal while it is at it exits at once with 1.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { shutdown } from "@holdfast/core";
 *
 * const ending = shutdown({ deadline: "10s", signals: [] });
 * ending.onShutdown("http", () => {});
 * ending.onShutdown("stores", () => {}, { after: ["http"] });
 * (await ending.trigger("example")).clean; // => true
 * ```
 */
export function shutdown(options: ShutdownOptions = {}): Shutdown {
  return new OrderlyShutdown(options);
}

interface Registered {
  readonly name: string;
  readonly hook: ShutdownHook;
  readonly after: readonly string[];
  readonly deadlineMs: number;
}

class OrderlyShutdown implements Shutdown {
  readonly #hooks = new Map<string, Registered>();
  readonly #deadlineMs: number;
  readonly #signals: readonly string[];
  readonly #exits: boolean;
  readonly #host: ShutdownProcess | undefined;
  readonly #clock: Clock;
  readonly #listeners = new Map<string, () => void>();
  #running: Promise<ShutdownReport> | undefined;
  /** Whether a signal has come: the next one exits at once. One that has begun by hand is seen through. */
  #signalled = false;

  constructor(options: ShutdownOptions) {
    const check = optionsOf("shutdown");
    this.#deadlineMs = check.duration("deadline", options.deadline, { min: 1 }, 10_000);
    this.#signals = options.signals ?? ["SIGTERM", "SIGINT"];
    this.#exits = check.boolean("exit", options.exit, true);
    this.#clock = options.clock ?? systemClock;
    this.#host = options.process ?? (globalThis as { process?: ShutdownProcess }).process;
    for (const signal of this.#signals) {
      const listener = (): void => this.#onSignal(signal);
      this.#listeners.set(signal, listener);
      this.#host?.on(signal, listener);
    }
  }

  get started(): boolean {
    return this.#running !== undefined;
  }

  onShutdown(name: string, hook: ShutdownHook, options: ShutdownHookOptions = {}): void {
    const check = optionsOf("onShutdown");
    check.string("name", name);
    if (this.#hooks.has(name)) check.refuse("name", name, "a name that is not taken");
    if (typeof hook !== "function") check.refuse("hook", hook, "a function");
    const after = options.after ?? [];
    // Registered before: so no circle can be built.
    for (const other of after)
      if (!this.#hooks.has(other)) check.refuse("after", other, "the name of a hook registered before");
    const deadlineMs =
      options.deadline === undefined ? Infinity : check.duration("deadline", options.deadline, { min: 1 });
    this.#hooks.set(name, { name, hook, after, deadlineMs });
  }

  trigger(reason: string): Promise<ShutdownReport> {
    return (this.#running ??= this.#run(reason));
  }

  dispose(): void {
    for (const [signal, listener] of this.#listeners) this.#host?.off(signal, listener);
    this.#listeners.clear();
  }

  #onSignal(signal: string): void {
    if (this.#signalled) {
      this.#host?.exit(1);
      return;
    }
    this.#signalled = true;
    void this.trigger(signal).then((report) => {
      if (this.#exits) this.#host?.exit(report.clean ? 0 : 1);
    });
  }

  async #run(reason: string): Promise<ShutdownReport> {
    const endsAt = this.#clock.monotonic() + this.#deadlineMs;
    const outcomes = new Map<string, Promise<HookOutcome>>();
    for (const registered of this.#hooks.values()) {
      const before = registered.after.map((name) => outcomes.get(name)!);
      outcomes.set(
        registered.name,
        Promise.all(before).then(() => this.#end(registered, endsAt)),
      );
    }
    const hooks = await Promise.all(outcomes.values());
    const report = { reason, clean: hooks.every((hook) => hook.status === "done"), hooks };
    this.dispose();
    if (ended.hasSubscribers) ended.publish(report);
    return report;
  }

  #end({ name, hook, deadlineMs }: Registered, endsAt: number): Promise<HookOutcome> {
    const startedAt = this.#clock.monotonic();
    const remainingMs = Math.max(0, Math.min(deadlineMs, endsAt - startedAt));
    const stop = new AbortController();
    return new Promise((resolve) => {
      const settle = (status: HookOutcome["status"], error?: Error): void => {
        timer.cancel();
        const tookMs = this.#clock.monotonic() - startedAt;
        resolve({ name, status, tookMs, ...(error === undefined ? {} : { error }) });
      };
      // Keeps the process until the hook's time is up: it would otherwise end in the middle of an orderly end.
      const timer = this.#clock.setTimer(
        remainingMs,
        () => {
          const late = new TimeoutError(name, remainingMs);
          settle("cut", late);
          stop.abort(late);
        },
        { keepAlive: true },
      );
      void (async () => hook({ signal: stop.signal, remainingMs }))().then(
        () => settle("done"),
        (error: unknown) => settle("failed", asError(error)),
      );
    });
  }
}

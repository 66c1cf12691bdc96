// What a task is told about the call it runs in: its signal, its attempt, the time it has left.
import type { Clock } from "../time/clock.ts";
import type { AbortSource, Unsubscribe } from "./abort-scope.ts";
import { AbortScope, listenTo } from "./abort-scope.ts";

/** What a caller may say about one call. Every policy takes it and hands it inwards. */
export interface RunOptions {
  /** Aborts the call: waits end at once and the call rejects with `signal.reason`, untouched. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Whether running the task twice does no harm. With `false`, retry and hedge run it once only, unless an
   * {@link idempotencyKey} says that the callee recognises a second run. @defaultValue true
   */
  readonly idempotent?: boolean | undefined;
  /** The key under which the callee recognises a repeated call; the task reads it from its context. */
  readonly idempotencyKey?: string | undefined;
}

/** What a task receives. Policies hand it inwards, each with its own view. */
export interface Context extends RunOptions {
  /** Aborted when the caller aborts or a policy gives up on this run. Made when it is first read. */
  readonly signal: AbortSignal;
  /** Which try of the nearest retry this is, from 1. */
  readonly attempt: number;
  /** Which run of the nearest hedge this is: 0 the first one, 1 the first hedge. 0 without a hedge. */
  readonly hedge: number;
  /** Milliseconds left until the tightest deadline around this call; `Infinity` without one. */
  readonly remainingMs: number;
  /** Whether the call has been aborted. Cheaper to ask than `signal.aborted`. */
  readonly aborted: boolean;
  /** Whether a second run of the task is harmless: not declared otherwise, or keyed. */
  readonly repeatable: boolean;
  /** Throws the abort's reason if the call has been aborted. */
  throwIfAborted(): void;
  /** Calls `listener` once when the call aborts, at once if it has. Cheaper than an event on `signal`. */
  onAbort(listener: (reason: unknown) => void): Unsubscribe;
}

/** A point on a clock's monotonic time. */
export interface Deadline {
  readonly clock: Clock;
  /** On `clock.monotonic()`, in milliseconds. */
  readonly at: number;
}

/**
 * The context of a call: `options` itself when an outer policy made it, a new one when a caller gave options.
 * For those who write a {@link Policy} of their own.
 */
export function contextOf(options?: RunOptions): CallContext {
  if (options instanceof CallContext) return options;
  // `fetch` takes a null signal for none; so do we.
  return new CallContext(options?.signal ?? undefined, 1, 0, options, undefined, undefined);
}

/** The one implementation of {@link Context}. Immutable, but for the signal that it makes lazily. */
export class CallContext implements Context {
  readonly attempt: number;
  readonly hedge: number;
  readonly #source: AbortSource | undefined;
  readonly #call: RunOptions | undefined;
  readonly #deadline: Deadline | undefined;
  /** The budget that has counted this call, so that policies inside, which share it, do not count it again. */
  readonly countedBy: object | undefined;
  #neverAborted: AbortSignal | undefined;

  constructor(
    source: AbortSource | undefined,
    attempt: number,
    hedge: number,
    call: RunOptions | undefined,
    deadline: Deadline | undefined,
    countedBy: object | undefined,
  ) {
    this.#source = source;
    this.attempt = attempt;
    this.hedge = hedge;
    this.#call = call;
    this.#deadline = deadline;
    this.countedBy = countedBy;
  }

  get signal(): AbortSignal {
    const source = this.#source;
    if (source === undefined) return (this.#neverAborted ??= new AbortController().signal);
    return source instanceof AbortScope ? source.signal : source;
  }

  get aborted(): boolean {
    return this.#source?.aborted === true;
  }

  /** Why the call was aborted: the caller's own `signal.reason` when the abort came from outside. */
  get reason(): unknown {
    return this.#source?.reason;
  }

  get remainingMs(): number {
    const deadline = this.#deadline;
    return deadline === undefined ? Infinity : Math.max(0, deadline.at - deadline.clock.monotonic());
  }

  get idempotent(): boolean {
    return this.#call?.idempotent !== false;
  }

  get idempotencyKey(): string | undefined {
    return this.#call?.idempotencyKey;
  }

  get repeatable(): boolean {
    return this.idempotent || this.idempotencyKey !== undefined;
  }

  /** Whether anything can abort this call; when not, there is no point in listening. */
  get abortable(): boolean {
    return this.#source !== undefined;
  }

  throwIfAborted(): void {
    if (this.#source?.aborted === true) throw this.#source.reason;
  }

  onAbort(listener: (reason: unknown) => void): Unsubscribe {
    const source = this.#source;
    if (source === undefined) return () => {};
    if (!source.aborted) return listenTo(source, listener);
    listener(source.reason);
    return () => {};
  }

  /** The same call, as another try sees it. */
  withAttempt(attempt: number): CallContext {
    return new CallContext(this.#source, attempt, this.hedge, this.#call, this.#deadline, this.countedBy);
  }

  /** The same call, once `budget` has counted it. */
  withBudget(budget: object): CallContext {
    return new CallContext(this.#source, this.attempt, this.hedge, this.#call, this.#deadline, budget);
  }

  /** The same call inside `scope`, as run `hedge` of a hedge sees it. */
  withHedge(hedge: number, scope: AbortScope): CallContext {
    return new CallContext(scope, this.attempt, hedge, this.#call, this.#deadline, this.countedBy);
  }

  /** A scope inside this call that its maker can abort, and must `release()` once the work has settled. */
  openScope(): AbortScope {
    return new AbortScope(this.#source);
  }

  /** The same call inside `scope`, with `deadline` if that comes before the deadline it has. */
  within(scope: AbortScope, deadline?: Deadline): CallContext {
    const tighter = this.#tighter(deadline);
    return new CallContext(scope, this.attempt, this.hedge, this.#call, tighter, this.countedBy);
  }

  #tighter(deadline: Deadline | undefined): Deadline | undefined {
    const own = this.#deadline;
    if (own === undefined || deadline === undefined) return deadline ?? own;
    if (own.clock === deadline.clock) return own.at <= deadline.at ? own : deadline;
    return this.remainingMs <= deadline.at - deadline.clock.monotonic() ? own : deadline;
  }
}

/**
 * Starts a policy's inner work; a task which throws at once rejects like any other. Not an async function: the
 * task's own promise is handed on as it is, without a second one around it.
 */
export function startTask<T>(
  task: (context: Context) => T | PromiseLike<T>,
  context: CallContext,
): Promise<Awaited<T>> {
  try {
    return Promise.resolve(task(context));
  } catch (error) {
    return Promise.reject(error as Error);
  }
}

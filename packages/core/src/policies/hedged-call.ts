// One call under a hedge: its runs, its timer, and the one moment in which it is settled.
import { asError, HedgeLostError } from "../errors/errors.ts";
import type { Clock, Timer } from "../time/clock.ts";
import type { AbortScope, Unsubscribe } from "./abort-scope.ts";
import type { CallContext, Context } from "./context.ts";
import { startTask } from "./context.ts";
import type { Task } from "./policy.ts";
import type { RetryBudget } from "./retry-budget.ts";

/** What a call needs of its policy. */
export interface HedgeSettings {
  readonly name: string;
  readonly maxHedges: number;
  readonly budget: RetryBudget | undefined;
  readonly hedgeOn: ((error: unknown, context: Context) => boolean) | undefined;
  readonly clock: Clock;
  /** Whether another run may start now. Takes it from the budget when the answer is yes. */
  allows(attempt: number): boolean;
  hedging(event: {
    readonly attempt: number;
    readonly hedge: number;
    readonly because: "slow" | "failed";
    readonly afterMs: number;
  }): void;
  won(run: number): void;
  /** A call that was hedged has succeeded or failed. */
  settled(event: {
    readonly attempt: number;
    readonly hedges: number;
    readonly winner?: number;
    readonly errors: readonly RunError[];
  }): void;
  learn(latencyMs: number): void;
}

interface RunError {
  readonly run: number;
  readonly error: unknown;
}

/** One call. Settles its promise once: with the first success, the first error, or the caller's reason. */
export class HedgedCall<T> {
  readonly #startedAt: number;
  /** The scope of each run, by run; `undefined` once it has settled. */
  readonly #scopes: (AbortScope | undefined)[] = [];
  readonly #errors: RunError[] = [];
  #inFlight = 0;
  #hedgesLeft: number;
  #timer: Timer | undefined;
  #leave: Unsubscribe | undefined;
  #done = false;

  constructor(
    private readonly policy: HedgeSettings,
    private readonly task: Task<T>,
    private readonly outer: CallContext,
    private readonly delayMs: number,
    private readonly resolve: (value: T) => void,
    private readonly reject: (reason: Error) => void,
  ) {
    this.#startedAt = policy.clock.monotonic();
    this.#hedgesLeft = outer.repeatable ? policy.maxHedges : 0;
  }

  start(): void {
    const { policy, outer } = this;
    if (policy.budget !== undefined && outer.countedBy !== policy.budget) policy.budget.callBegan();
    // The runs' own scopes are told by the caller's signal; this only ends the call.
    if (outer.abortable)
      this.#leave = outer.onAbort((reason) => {
        if (this.#end()) this.reject(reason as Error);
      });
    this.#startRun();
    this.#armTimer();
  }

  #armTimer(): void {
    if (this.#done || this.#hedgesLeft === 0) return;
    this.#timer = this.policy.clock.setTimer(this.delayMs, () => {
      if (this.#startHedge("slow")) this.#armTimer();
    });
  }

  #startHedge(because: "slow" | "failed"): boolean {
    if (this.#hedgesLeft === 0) return false;
    if (!this.policy.allows(this.outer.attempt)) {
      this.#hedgesLeft = 0;
      return false;
    }
    this.#hedgesLeft -= 1;
    const hedge = this.#scopes.length;
    this.#startRun();
    // Told afterwards: an observer that aborts the call in its turn finds a run that it can abort.
    const afterMs = this.policy.clock.monotonic() - this.#startedAt;
    this.policy.hedging({ attempt: this.outer.attempt, hedge, because, afterMs });
    return true;
  }

  #startRun(): void {
    const { outer, policy } = this;
    const scope = outer.openScope();
    const run = this.#scopes.push(scope) - 1;
    this.#inFlight += 1;
    const counted = policy.budget === undefined ? outer : outer.withBudget(policy.budget);
    startTask(this.task, counted.withHedge(run, scope)).then(
      (value) => {
        this.#left(run, scope);
        this.#succeeded(run, value);
      },
      (error: unknown) => {
        this.#left(run, scope);
        this.#failed(run, error);
      },
    );
  }

  /** A run has settled, in time or long after the call. */
  #left(run: number, scope: AbortScope): void {
    scope.release();
    this.#scopes[run] = undefined;
    this.#inFlight -= 1;
    if (run > 0) this.policy.budget?.extraEnded();
  }

  #succeeded(winner: number, value: T): void {
    if (!this.#end()) return;
    this.#learn(winner);
    this.resolve(value);
    this.policy.won(winner);
    if (this.#scopes.length > 1) this.policy.settled({ ...this.#summary(), winner });
    this.#abortOthers();
  }

  #failed(run: number, error: unknown): void {
    if (this.#done) return;
    this.#errors.push({ run, error });
    const answer = this.#finalError(error);
    if (answer === undefined) {
      this.#timer?.cancel();
      if (this.#startHedge("failed")) this.#armTimer();
      else if (this.#inFlight === 0) this.#fail(this.#errors[0]!.error);
    } else {
      this.#fail(answer.error);
    }
  }

  /** The error that ends the call whatever the other runs do: one that leaves no hope, or the predicate's own. */
  #finalError(error: unknown): { readonly error: unknown } | undefined {
    try {
      return this.policy.hedgeOn?.(error, this.outer) === false ? { error } : undefined;
    } catch (thrown) {
      return { error: thrown };
    }
  }

  #fail(error: unknown): void {
    if (!this.#end()) return;
    this.reject(asError(error));
    if (this.#scopes.length > 1) this.policy.settled(this.#summary());
    this.#abortOthers();
  }

  /** Whether this call was still open. It is not any more. */
  #end(): boolean {
    if (this.#done) return false;
    this.#done = true;
    this.#timer?.cancel();
    this.#leave?.();
    const { budget } = this.policy;
    if (budget !== undefined && this.outer.countedBy !== budget) budget.callEnded();
    return true;
  }

  /**
   * Only first runs are learnt from. One that lost counts with the time it had: too short, but longer than the
   * delay, and so on the right side of the percentile, which is all that matters for it. Left out, slow runs
   * would go unseen, the delay would shrink and ever more calls be hedged.
   */
  #learn(winner: number): void {
    if (winner === 0 || this.#scopes[0] !== undefined)
      this.policy.learn(this.policy.clock.monotonic() - this.#startedAt);
  }

  #abortOthers(): void {
    if (this.#inFlight === 0) return;
    const reason = new HedgeLostError(this.policy.name);
    for (const scope of this.#scopes) scope?.abort(reason);
  }

  #summary(): { readonly attempt: number; readonly hedges: number; readonly errors: readonly RunError[] } {
    return { attempt: this.outer.attempt, hedges: this.#scopes.length - 1, errors: this.#errors };
  }
}

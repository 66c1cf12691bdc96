// The circuit breaker as a policy: stops calling what fails, and tries carefully whether it is back.
import type { Clock, Context, Duration, PolicyDescription, RunOptions, Task } from "@holdfast/core";
import { asError, channel, contextOf, notify, optionsOf, retryAfterOf } from "@holdfast/core";
import type { ProbeAdmission } from "../shared/fleet-link.ts";
import { FleetLink } from "../shared/fleet-link.ts";
import { Membership } from "../shared/membership.ts";
import type { ShareCloseReport, ShareOptions } from "../shared/share.ts";
import { fleetKey, shareSettingsOf } from "../shared/share.ts";
import { started } from "../started.ts";
import type { Admission, Probe, ProbeJudge, Transition } from "./circuit.ts";
import { Circuit } from "./circuit.ts";
import type {
  CircuitBreaker,
  CircuitBreakerOptions,
  CircuitRefusedEvent,
  CircuitSnapshot,
  CircuitState,
  CircuitStateEvent,
  Permit,
  Refusal,
} from "./contract.ts";
import type { CircuitOpenError } from "./errors.ts";
import { circuitOpen } from "./errors.ts";
import { breakerSettingsOf } from "./settings.ts";

/** Of calls that are judged by nothing. */
const NO_GENERATION = -1;

const stateChanged = /* @__PURE__ */ channel<CircuitStateEvent>("breaker", "state");
const callRefused = /* @__PURE__ */ channel<CircuitRefusedEvent>("breaker", "refused");

/**
 * A circuit breaker (Nygard, "Release It!"): once calls fail by the rule, it refuses them for a while, then lets a
 * few probes through, and closes again when they succeed.
 *
 * - A call that began before a trip never judges the state after it.
 * - A probe that hangs has failed when its deadline is over; nobody waits for it.
 * - A caller's abort says nothing about the callee and counts as nothing.
 * - Times are of the clock's monotonic time; it holds no timer.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { circuitBreaker, consecutive } from "@holdfast/breaker";
 *
 * const breaker = circuitBreaker({ trip: consecutive({ failures: 2 }), openFor: "30s" });
 * const failing = () => breaker.run(() => Promise.reject(new Error("down"))).catch((error) => error.code);
 * await failing(); // => undefined
 * await failing(); // => undefined
 * await failing(); // => "CIRCUIT_OPEN"
 * breaker.state; // => "open"
 * ```
 */
export function circuitBreaker(options: CircuitBreakerOptions = {}): CircuitBreaker {
  return new Breaker(options, undefined);
}

/** A breaker's place in a fleet. */
export interface Seat {
  readonly membership: Membership;
  /** The store's key of its circuit. */
  readonly key: string;
}

/** A breaker among others by key, which share one membership; `options.share` is not looked at. */
export function seatedBreaker(options: CircuitBreakerOptions, seat: Seat): CircuitBreaker {
  return new Breaker(options, seat);
}

class Breaker implements CircuitBreaker {
  readonly kind = "circuit-breaker";
  readonly name: string;
  readonly #circuit: Circuit;
  /** Its own; one by key leaves with the others. */
  readonly #membership: Membership | undefined;
  readonly #link: FleetLink | undefined;
  readonly #clock: Clock;
  readonly #summary: string;
  readonly #needsTime: boolean;
  /** Whether of a success nothing need be known but that it was one. */
  readonly #isPlain: boolean;
  readonly #slowMs: number;
  readonly #maxRetryAfterMs: number;
  readonly #isFailure: (error: Error, context: Context) => boolean;
  readonly #isFailureResult: CircuitBreakerOptions["isFailureResult"];
  readonly #enforce: boolean | (() => boolean);
  readonly #onStateChange: CircuitBreakerOptions["onStateChange"];
  /** What a success does on the fast path; made anew with each generation, so that a call carries no state. */
  #succeeded: (<T>(value: T) => T) | undefined;

  constructor(options: CircuitBreakerOptions, seat: Seat | undefined) {
    const settings = breakerSettingsOf(this.kind, options);
    this.name = settings.name;
    this.#summary = settings.summary;
    this.#clock = settings.clock;
    this.#slowMs = settings.slowMs;
    this.#maxRetryAfterMs = settings.maxRetryAfterMs;
    this.#isFailure = settings.isFailure;
    this.#isFailureResult = settings.isFailureResult;
    this.#enforce = settings.enforce;
    this.#onStateChange = settings.onStateChange;
    this.#isPlain = this.#isFailureResult === undefined && this.#slowMs === Infinity;
    this.#needsTime = settings.circuit.counter.needsTime;
    this.#circuit = new Circuit(settings.circuit, (transition) => this.#changed(transition));
    this.#prepare();
    // Last, since it may hear of an open circuit at once.
    const place = seat ?? ownSeat(this.name, this.#clock, options.share);
    this.#membership = seat === undefined ? place?.membership : undefined;
    this.#link = place && new FleetLink(place.key, this.#circuit, place.membership, settings.circuit);
  }

  get state(): CircuitState {
    return this.#circuit.stateAt(this.#clock.monotonic());
  }

  run<T>(task: Task<T>, options?: RunOptions): Promise<T> {
    const context = contextOf(options);
    if (context.aborted) return Promise.reject(context.reason as Error);
    const succeeded = this.#succeeded;
    if (succeeded !== undefined) {
      const { generation } = this.#circuit;
      return started(task, context).then(succeeded, (error: unknown) =>
        this.#failed(error, context, generation, undefined, 0),
      );
    }
    const now = this.#clock.monotonic();
    const admission = this.#admit(now);
    if (admission.kind === "probe" && this.#link?.needsLease() === true)
      return this.#runLeased(task, context, this.#link, admission);
    if (admission.kind !== "refused") return this.#runAdmitted(task, context, admission, now);
    return Promise.reject(this.#refusal(admission));
  }

  async tryRun<T>(
    task: Task<T>,
    options?: RunOptions,
  ): Promise<{ readonly admitted: true; readonly value: T } | Refusal> {
    const context = contextOf(options);
    context.throwIfAborted();
    let admission = this.#admit(this.#clock.monotonic());
    if (admission.kind === "probe" && this.#link?.needsLease() === true)
      admission = this.#enforced(await this.#link.lease(admission, context));
    if (admission.kind === "refused")
      return { admitted: false, state: admission.state, retryAfterMs: admission.retryAfterMs };
    const now = this.#clock.monotonic();
    return { admitted: true, value: await this.#runAdmitted(task, context, admission, now) };
  }

  acquire(): Permit | Refusal {
    const now = this.#clock.monotonic();
    let admission = this.#admit(now);
    if (admission.kind === "probe" && this.#link?.needsLease() === true)
      admission = this.#enforced(this.#link.leaseInHand(admission));
    if (admission.kind === "refused")
      return { admitted: false, state: admission.state, retryAfterMs: admission.retryAfterMs };
    const { generation } = admission;
    const probe = admission.kind === "probe" ? admission.probe : undefined;
    const context = contextOf();
    let over = false;
    const once = (act: () => void) => () => {
      if (over) return;
      over = true;
      act();
    };
    return {
      admitted: true,
      succeed: once(() => this.#judge(generation, probe, now, false, undefined)),
      fail: (thrown) =>
        once(() => {
          const error = asError(thrown);
          this.#heed(generation, error);
          this.#judge(generation, probe, now, this.#counts(error, context), error);
        })(),
      forget: once(() => {
        if (probe !== undefined) this.#probes.probeForgotten(probe);
      }),
    };
  }

  isolate(): () => void {
    const holder = {};
    this.#circuit.isolate(holder, this.#clock.monotonic());
    return () => this.#circuit.release(holder, this.#clock.monotonic());
  }

  reset(): void {
    this.#circuit.reset(this.#clock.monotonic());
  }

  snapshot(): CircuitSnapshot {
    const now = this.#clock.monotonic();
    const state = this.#circuit.stateAt(now);
    const openForMs = this.#circuit.openForMs(now);
    return {
      kind: this.kind,
      name: this.name,
      state,
      generation: this.#circuit.generation,
      admits: this.#circuit.shareAt(now),
      ...(openForMs === undefined ? {} : { openForMs }),
      opens: this.#circuit.opens,
      probing: this.#circuit.probing,
      probed: this.#circuit.probed,
      counts: this.#circuit.counts(now),
      ...(this.#link === undefined ? {} : { share: this.#link.snapshot() }),
    };
  }

  restore(snapshot: Pick<CircuitSnapshot, "state" | "opens"> & { readonly openForMs?: number }): void {
    const check = optionsOf("restore");
    check.object("snapshot", snapshot);
    const states = ["closed", "open", "half-open", "isolated"] as const;
    const state = check.oneOf("state", snapshot.state, states);
    const opens = check.integer("opens", snapshot.opens, { min: 0 });
    const openMs = check.duration("openForMs", snapshot.openForMs, {}, 0);
    const now = this.#clock.monotonic();
    this.#circuit.reset(now);
    if (state === "isolated") this.#circuit.isolate(this, now);
    // Half-open: the probes of then are gone, so that others may go at once.
    else if (state !== "closed") this.#circuit.openFor(now, openMs, opens, "restored");
  }

  async close(options: { readonly within?: Duration } = {}): Promise<ShareCloseReport> {
    const membership = this.#membership;
    if (membership === undefined) return { leasesReturned: 0 };
    return membership.close(options.within);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  describe(): PolicyDescription {
    return { kind: this.kind, name: this.name, summary: this.#summary };
  }

  #admit(now: number): Admission {
    const admission = this.#circuit.admit(now);
    // A ramp-up ends by itself.
    if (admission.kind !== "refused" && this.#isPlain && this.#circuit.isOpenToAll) this.#prepare();
    return this.#enforced(admission);
  }

  #enforced(admission: Admission): Admission {
    if (admission.kind !== "refused") return admission;
    const enforced = typeof this.#enforce === "function" ? this.#enforce() : this.#enforce;
    if (callRefused.hasSubscribers)
      callRefused.publish({ breaker: this.name, state: admission.state, enforced });
    // Let through all the same, and judged by nothing: it belongs to no generation.
    return enforced ? admission : { kind: "judged", generation: NO_GENERATION };
  }

  /** Who is told how a probe has ended. */
  get #probes(): ProbeJudge {
    return this.#link ?? this.#circuit;
  }

  async #runLeased<T>(
    task: Task<T>,
    context: Context & { readonly reason: unknown },
    link: FleetLink,
    asking: ProbeAdmission,
  ): Promise<T> {
    const admission = this.#enforced(await link.lease(asking, context));
    if (admission.kind === "refused") throw this.#refusal(admission);
    return this.#runAdmitted(task, context, admission, this.#clock.monotonic());
  }

  #refusal({ state, retryAfterMs }: Admission & { readonly kind: "refused" }): CircuitOpenError {
    return circuitOpen(this.name, state, retryAfterMs);
  }

  #runAdmitted<T>(
    task: Task<T>,
    context: Context & { readonly reason: unknown },
    admission: Exclude<Admission, { readonly kind: "refused" }>,
    startedAt: number,
  ): Promise<T> {
    const { generation } = admission;
    const probe = admission.kind === "probe" ? admission.probe : undefined;
    return started(task, context).then(
      (value) => {
        this.#judge(generation, probe, startedAt, this.#refusesResult(value, context), value);
        return value;
      },
      (error: unknown) => this.#failed(error, context, generation, probe, startedAt),
    );
  }

  /** Judges a failure and rethrows it. */
  #failed(
    thrown: unknown,
    context: Context & { readonly reason: unknown },
    generation: number,
    probe: Probe | undefined,
    startedAt: number,
  ): never {
    if (context.aborted) {
      if (probe !== undefined) this.#probes.probeForgotten(probe);
      throw context.reason;
    }
    const error = asError(thrown);
    this.#heed(generation, error);
    this.#judge(generation, probe, startedAt, this.#counts(error, context), error);
    throw error;
  }

  #judge(
    generation: number,
    probe: Probe | undefined,
    startedAt: number,
    failed: boolean,
    cause: unknown,
  ): void {
    const now =
      this.#needsTime || probe !== undefined || this.#slowMs !== Infinity || failed
        ? this.#clock.monotonic()
        : 0;
    const slow = now - startedAt >= this.#slowMs;
    if (probe === undefined) this.#circuit.record(generation, failed, slow, now, cause);
    else this.#probes.probeEnded(probe, failed || slow, now, cause);
  }

  /** What a failure asks for counts even if the failure itself does not. */
  #heed(generation: number, failure: unknown): void {
    if (this.#maxRetryAfterMs === 0) return;
    const askedMs = retryAfterOf(failure, this.#clock.now());
    if (askedMs === undefined) return;
    const waitMs = Math.min(askedMs, this.#maxRetryAfterMs);
    this.#circuit.askedToWait(generation, this.#clock.monotonic() + waitMs);
  }

  #counts(error: Error, context: Context): boolean {
    try {
      return this.#isFailure(error, context);
    } catch {
      return true;
    }
  }

  #refusesResult(value: unknown, context: Context): boolean {
    if (this.#isFailureResult === undefined) return false;
    try {
      return this.#isFailureResult(value, context);
    } catch {
      return true;
    }
  }

  #changed(transition: Transition): void {
    const { from, to, reason, generation, openForMs, error } = transition;
    this.#prepare();
    this.#link?.transitioned(transition);
    if (this.#onStateChange === undefined && !stateChanged.hasSubscribers) return;
    const event: CircuitStateEvent = {
      breaker: this.name,
      from,
      to,
      reason,
      generation,
      ...(openForMs === undefined ? {} : { openForMs }),
      ...(error instanceof Error ? { error } : {}),
    };
    if (stateChanged.hasSubscribers) stateChanged.publish(event);
    notify(this.#onStateChange, event);
  }

  /** Sets the fast path for the present generation, if every call passes and only its failure need be known. */
  #prepare(): void {
    const circuit = this.#circuit;
    const { generation } = circuit;
    if (!this.#isPlain || !circuit.isOpenToAll) this.#succeeded = undefined;
    else if (this.#needsTime)
      this.#succeeded = (value) => {
        circuit.record(generation, false, false, this.#clock.monotonic());
        return value;
      };
    else
      this.#succeeded = (value) => {
        circuit.record(generation, false, false, 0);
        return value;
      };
  }
}

/** The place of a breaker which is the only one of its membership. */
function ownSeat(name: string, clock: Clock, share: ShareOptions | undefined): Seat | undefined {
  if (share === undefined) return undefined;
  const settings = shareSettingsOf("circuitBreaker", name, clock, share);
  return { membership: new Membership(settings), key: fleetKey(settings.key, "") };
}

// Fault injection: wraps anything with async methods, such as a store, and makes its calls go wrong.
import { optionsOf } from "../options.ts";
import type { Random } from "../random.ts";
import type { Clock } from "../time/clock.ts";
import type { Duration } from "../time/duration.ts";
import { systemClock } from "../time/system-clock.ts";

/** What goes wrong with one call. */
export type Fault =
  /** Fails before the call: it has no effect. */
  | { readonly kind: "error"; readonly error?: Error }
  /** The call has its effect, but its answer is lost: the caller sees an error. */
  | { readonly kind: "lost-reply"; readonly error?: Error }
  /** The connection drops: the caller sees `ECONNRESET`, and a draw decides whether the call had its effect. */
  | { readonly kind: "dropped-connection" }
  /** The call is made after `delay`, unless its signal aborts before. */
  | { readonly kind: "latency"; readonly delay: Duration }
  /** The call is never made and never answers, until its signal aborts. */
  | { readonly kind: "hang" };

/** One call to a wrapped method. */
export interface FaultyCall {
  readonly method: string;
  readonly args: readonly unknown[];
  /** Which call it is, from 0, counted over all wrapped methods. */
  readonly index: number;
}

/** How often each fault strikes, by draws. Shares from 0 to 1 that sum up to 1 at most. */
export interface FaultRates {
  readonly error?: number;
  readonly lostReply?: number;
  readonly droppedConnection?: number;
  readonly latency?: number;
  readonly hang?: number;
  /** How long `latency` waits. @defaultValue "100ms" */
  readonly delay?: Duration;
}

/** A script: what happens to the first call, the second…; `undefined` and what is beyond its end go well. */
export type FaultScript = readonly (Fault | undefined)[];

export interface FaultyOptions {
  /** What goes wrong: a script, a function asked at each call, or rates. */
  readonly plan: FaultScript | ((call: FaultyCall) => Fault | undefined) | FaultRates;
  /** The methods that can go wrong. @defaultValue all */
  readonly methods?: readonly string[];
  /** Required by rates and by `dropped-connection`, so that every run can be repeated: `seededRandom(1)`. */
  readonly random?: Random;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** An error that fault injection made, unless the plan brings its own. */
export class InjectedFaultError extends Error {
  override readonly name = "InjectedFaultError";

  constructor(
    readonly fault: Fault["kind"],
    /** As Node names it: `ECONNRESET` for a dropped connection or a lost reply, `ECONNREFUSED` otherwise. */
    readonly code: string,
    method: string,
  ) {
    super(`${code}: injected ${fault} in ${method}()`);
  }
}

/**
 * The same object, whose async methods go wrong as planned. A method's signal is found among its arguments, alone
 * or as the `signal` of an object. Methods keep their `this`; what goes well, and what is no method, passes through
 * as it is.
 *
 * @throws InvalidOptionError when rates are out of range, or draws are needed and `random` is missing.
 *
 * @example
 * ```ts
 * import { faulty } from "@holdfast/core/testing";
 *
 * const account = { balance: 0, add: async (amount: number) => (account.balance += amount) };
 * const flaky = faulty(account, { plan: [{ kind: "lost-reply" }] });
 * const error = await flaky.add(5).catch((thrown) => thrown.code);
 * [error, account.balance]; // => ["ECONNRESET", 5]
 * ```
 */
export function faulty<T extends object>(target: T, options: FaultyOptions): T {
  const random = options.random ?? refuseToDraw;
  const clock = options.clock ?? systemClock;
  const faultOf = planOf(options.plan, random);
  let index = 0;
  const wrapped = new Map<PropertyKey, { readonly original: unknown; readonly replacement: unknown }>();

  const wrap = (method: string, original: Method): Method => {
    if (options.methods?.includes(method) === false) return (...args) => original.apply(target, args);
    return (...args) => {
      const fault = faultOf({ method, args, index: index++ });
      if (fault === undefined) return original.apply(target, args);
      return strike(fault, method, async () => original.apply(target, args), signalIn(args), random, clock);
    };
  };
  return new Proxy(target, {
    get(_, key) {
      const original: unknown = Reflect.get(target, key, target);
      if (typeof original !== "function" || typeof key !== "string" || key === "constructor") return original;
      const known = wrapped.get(key);
      if (known?.original === original) return known.replacement;
      const replacement = wrap(key, original as Method);
      wrapped.set(key, { original, replacement });
      return replacement;
    },
  });
}

type Method = (...args: unknown[]) => unknown;

async function strike(
  fault: Fault,
  method: string,
  call: () => Promise<unknown>,
  signal: AbortSignal | undefined,
  random: Random,
  clock: Clock,
): Promise<unknown> {
  switch (fault.kind) {
    case "error":
      throw fault.error ?? new InjectedFaultError(fault.kind, "ECONNREFUSED", method);
    case "lost-reply":
      await call();
      throw fault.error ?? new InjectedFaultError(fault.kind, "ECONNRESET", method);
    case "dropped-connection":
      if (random() < 0.5) await call();
      throw new InjectedFaultError(fault.kind, "ECONNRESET", method);
    case "latency":
      await clock.sleep(fault.delay, signal);
      return call();
    case "hang":
      return hang(signal);
  }
}

function hang(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    const onAbort = (): void => reject(signal?.reason as Error);
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  });
}

function planOf(plan: FaultyOptions["plan"], random: Random): (call: FaultyCall) => Fault | undefined {
  if (typeof plan === "function") return plan;
  if (isScript(plan)) return ({ index }) => plan[index];
  return drawnFrom(plan, random);
}

function isScript(plan: FaultScript | FaultRates): plan is FaultScript {
  return Array.isArray(plan);
}

function drawnFrom(rates: FaultRates, random: Random): (call: FaultyCall) => Fault | undefined {
  if (random === refuseToDraw) refuseToDraw();
  const check = optionsOf("faulty");
  const delay = check.duration("plan.delay", rates.delay, {}, 100);
  const shares: readonly (readonly [number, Fault])[] = [
    [check.number("plan.error", rates.error, { min: 0, max: 1 }, 0), { kind: "error" }],
    [check.number("plan.lostReply", rates.lostReply, { min: 0, max: 1 }, 0), { kind: "lost-reply" }],
    [
      check.number("plan.droppedConnection", rates.droppedConnection, { min: 0, max: 1 }, 0),
      { kind: "dropped-connection" },
    ],
    [check.number("plan.latency", rates.latency, { min: 0, max: 1 }, 0), { kind: "latency", delay }],
    [check.number("plan.hang", rates.hang, { min: 0, max: 1 }, 0), { kind: "hang" }],
  ];
  const sum = shares.reduce((total, [share]) => total + share, 0);
  if (sum > 1 + 1e-9) check.refuse("plan", sum, "rates that sum up to 1 at most");
  return () => {
    let draw = random();
    for (const [share, fault] of shares) {
      if (draw < share) return fault;
      draw -= share;
    }
    return undefined;
  };
}

function signalIn(args: readonly unknown[]): AbortSignal | undefined {
  for (const arg of args) {
    if (arg instanceof AbortSignal) return arg;
    if (typeof arg !== "object" || arg === null) continue;
    const { signal } = arg as { readonly signal?: unknown };
    if (signal instanceof AbortSignal) return signal;
  }
  return undefined;
}

function refuseToDraw(): never {
  return optionsOf("faulty").refuse(
    "random",
    undefined,
    "given where faults are drawn, such as seededRandom(1)",
  );
}

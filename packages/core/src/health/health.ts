// Health: what this process depends on, looked at within limits, told as liveness and readiness.
import { asError, TimeoutError } from "../errors/errors.ts";
import type { Handler } from "../http/handler.ts";
import { problemResponse, RequestError } from "../http/problem-response.ts";
import { optionsOf } from "../options.ts";
import { channel } from "../telemetry/channel.ts";
import type { Clock } from "../time/clock.ts";
import type { Duration } from "../time/duration.ts";
import { systemClock } from "../time/system-clock.ts";

/** Looks at one dependency: returns when it is well, throws when it is not. */
export type HealthProbe = (context: { readonly signal: AbortSignal }) => unknown;

export interface HealthCheckOptions {
  readonly check: HealthProbe;
  /** How long one look may take; its signal aborts then. @defaultValue "2s" */
  readonly deadline?: Duration;
  /** Whether readiness depends on it. One that does not only degrades the whole. @defaultValue true */
  readonly critical?: boolean;
  /** How long an answer is good for; asked again after it. @defaultValue "1s" */
  readonly cacheFor?: Duration;
}

export interface HealthOptions {
  /** By name: what to look at. At most 100. */
  readonly checks: Readonly<Record<string, HealthProbe | HealthCheckOptions>>;
  /** Who sees the dependencies; the others get the overall status alone. @defaultValue "never" */
  readonly details?: "always" | "never" | ((request: Request) => boolean);
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

export type HealthStatus = "up" | "degraded" | "down";

/** One dependency, as last seen. */
export interface DependencyHealth {
  /** `degraded`: it failed, but is not critical. */
  readonly status: HealthStatus;
  readonly critical: boolean;
  /** How long the last look took, in milliseconds. */
  readonly latencyMs: number;
  /** When the status last changed, in milliseconds since the epoch. */
  readonly since: number;
  /**
   * The code or the name of the last failure; absent while it is up. Never its message, which may name hosts and
   * credentials: that goes to the channel `holdfast:core:health`.
   */
  readonly error?: string;
}

export interface HealthReport {
  /** `down` when a critical dependency is, or while draining; `degraded` when only others are. */
  readonly status: HealthStatus;
  /** Whether work should be sent here. */
  readonly ready: boolean;
  readonly draining: boolean;
  readonly dependencies: Readonly<Record<string, DependencyHealth>>;
}

/** Published as `holdfast:core:health` when the status of a dependency changes, and when it is first known. */
export interface HealthEvent {
  readonly dependency: string;
  readonly status: HealthStatus;
  /** Before; absent the first time. */
  readonly was?: HealthStatus;
  readonly latencyMs: number;
  readonly error?: Error;
}

/** The defaults of `health`. */
export const HEALTH_DEFAULTS: { readonly deadlineMs: number; readonly cacheForMs: number } = {
  deadlineMs: 2_000,
  cacheForMs: 1_000,
};

const MAX_CHECKS = 100;
const MAX_ERROR = 100;

const statusChanged = /* @__PURE__ */ channel<HealthEvent>("core", "health");

/** The health of this process and of what it depends on. */
export interface Health {
  /** Looks at every dependency whose last answer is too old, all at once, each within its deadline. Never rejects. */
  report(): Promise<HealthReport>;
  /** Says that this process takes no more work: not ready from now on, but alive. Cannot be taken back. */
  drain(): void;
  /**
   * `…/live` is 200 as long as the process answers; anything else (`/health`, `/health/ready`) is 200 or 503 by
   * readiness. A JSON body, never cached. Methods other than GET and HEAD get 405.
   */
  readonly handler: Handler;
}

/**
 * Watches dependencies. Each check runs at most once at a time: callers share the look under way, and one that
 * hangs past its deadline is reported down and is not started again until it has really ended.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { health } from "@holdfast/core";
 *
 * const state = health({ checks: { db: async () => "pong" } });
 * (await state.report()).ready; // => true
 * ```
 */
export function health(options: HealthOptions): Health {
  return new Watch(options);
}

class Watch implements Health {
  readonly #dependencies: readonly Dependency[];
  readonly #details: NonNullable<HealthOptions["details"]>;
  #isDraining = false;

  constructor(options: HealthOptions) {
    const check = optionsOf("health");
    const entries = Object.entries(check.object("checks", options.checks));
    if (entries.length > MAX_CHECKS) check.refuse("checks", entries.length, `at most ${MAX_CHECKS} checks`);
    const clock = options.clock ?? systemClock;
    this.#dependencies = entries.map(([name, given]) => new Dependency(name, given, clock));
    this.#details =
      typeof options.details === "function"
        ? options.details
        : check.oneOf<"always" | "never">("details", options.details, ["always", "never"], "never");
  }

  async report(): Promise<HealthReport> {
    const seen = await Promise.all(
      this.#dependencies.map(async (one) => [one.name, await one.look()] as const),
    );
    const failing = seen.map(([, dependency]) => dependency.status);
    const isDown = this.#isDraining || failing.includes("down");
    return {
      status: isDown ? "down" : failing.includes("degraded") ? "degraded" : "up",
      ready: !isDown,
      draining: this.#isDraining,
      dependencies: Object.fromEntries(seen),
    };
  }

  drain(): void {
    this.#isDraining = true;
  }

  readonly handler: Handler = async (request) => {
    if (request.method !== "GET" && request.method !== "HEAD")
      return problemResponse(new RequestError(405, "METHOD_NOT_ALLOWED", "health is read with GET"), {
        allow: "GET, HEAD",
      });
    if (new URL(request.url).pathname.endsWith("/live")) return answer(200, { status: "up" });
    const report = await this.report();
    const { status, ready, draining } = report;
    return answer(ready ? 200 : 503, this.#shows(request) ? report : { status, ready, draining });
  };

  #shows(request: Request): boolean {
    if (typeof this.#details === "string") return this.#details === "always";
    try {
      return this.#details(request);
    } catch {
      // Whoever cannot be recognised sees nothing.
      return false;
    }
  }
}

class Dependency {
  readonly #probe: HealthProbe;
  readonly #deadlineMs: number;
  readonly #isCritical: boolean;
  readonly #cacheMs: number;
  #last: DependencyHealth | undefined;
  #goodUntil = -Infinity;
  #looking: Promise<DependencyHealth> | undefined;

  constructor(
    readonly name: string,
    given: HealthProbe | HealthCheckOptions,
    private readonly clock: Clock,
  ) {
    const check = optionsOf("health");
    const options = typeof given === "function" ? { check: given } : check.object(`checks.${name}`, given);
    this.#probe =
      check.function(`checks.${name}.check`, options.check) ??
      check.refuse(`checks.${name}.check`, undefined, "a function");
    this.#deadlineMs = check.duration(
      `checks.${name}.deadline`,
      options.deadline,
      { min: 1 },
      HEALTH_DEFAULTS.deadlineMs,
    );
    this.#isCritical = check.boolean(`checks.${name}.critical`, options.critical, true);
    this.#cacheMs = check.duration(
      `checks.${name}.cacheFor`,
      options.cacheFor,
      { min: 0 },
      HEALTH_DEFAULTS.cacheForMs,
    );
  }

  look(): Promise<DependencyHealth> {
    if (this.#last !== undefined && this.clock.monotonic() < this.#goodUntil)
      return Promise.resolve(this.#last);
    return (this.#looking ??= this.#lookNow());
  }

  #lookNow(): Promise<DependencyHealth> {
    const startedAt = this.clock.monotonic();
    const stop = new AbortController();
    return new Promise((resolve) => {
      let isOver = false;
      const conclude = (error: Error | undefined): void => {
        if (isOver) return;
        isOver = true;
        timer.cancel();
        resolve(this.#record(startedAt, error));
      };
      const timer = this.clock.setTimer(this.#deadlineMs, () => {
        const late = new TimeoutError(this.name, this.#deadlineMs);
        conclude(late);
        stop.abort(late);
      });
      const ended = (error?: Error): void => {
        conclude(error);
        // Only now: a look that hangs past its deadline is not joined by a second one.
        this.#looking = undefined;
      };
      void (async () => this.#probe({ signal: stop.signal }))().then(
        () => ended(),
        (error: unknown) => ended(asError(error)),
      );
    });
  }

  #record(startedAt: number, error: Error | undefined): DependencyHealth {
    const status = error === undefined ? "up" : this.#isCritical ? "down" : "degraded";
    const now = this.clock.monotonic();
    const latencyMs = now - startedAt;
    const before = this.#last;
    this.#goodUntil = now + this.#cacheMs;
    this.#last = {
      status,
      critical: this.#isCritical,
      latencyMs,
      since: before?.status === status ? before.since : this.clock.now(),
      ...(error === undefined ? {} : { error: labelOf(error) }),
    };
    if (before?.status !== status && statusChanged.hasSubscribers)
      statusChanged.publish({
        dependency: this.name,
        status,
        latencyMs,
        ...(before === undefined ? {} : { was: before.status }),
        ...(error === undefined ? {} : { error }),
      });
    return this.#last;
  }
}

function labelOf(error: Error): string {
  const { code } = error as { readonly code?: unknown };
  return (typeof code === "string" && code !== "" ? code : String(error.name)).slice(0, MAX_ERROR);
}

function answer(status: number, body: unknown): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/health+json", "cache-control": "no-store" },
  });
}

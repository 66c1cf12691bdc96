// One version that a pool has from a registry: prepared before it is trusted, held while it is wanted.
import type { Clock } from "@holdfast/core";
import { ClosedError, hasCode, optionsOf, TimeoutError } from "@holdfast/core";
import type { ModelLease } from "../contract.ts";
import { canonicalJson } from "../registry/canonical-json.ts";
import type { ModelRecord } from "../registry/contract.ts";
import type { FollowingPool, FollowRegistryOptions } from "./contract.ts";
import { WarmUpAnswerError } from "./errors.ts";
import { unlessAborted } from "../unless-aborted.ts";

export interface FollowedModelParts {
  readonly pool: FollowingPool;
  readonly clock: Clock;
  readonly check: FollowRegistryOptions["check"];
  readonly prepareMs: number;
  /** After how long a model that could not be loaded is tried again. */
  readonly retryMs: number;
}

export class FollowedModel {
  /** One attempt for all who ask while it is well or under way. */
  #preparing: { readonly done: Promise<void>; readonly stop: AbortController } | undefined;
  /** Ends what keeps it loaded. */
  #held: AbortController | undefined;

  constructor(
    public record: ModelRecord,
    private readonly parts: FollowedModelParts,
  ) {}

  get key(): string {
    return this.record.key;
  }

  /** Whether it was prepared, or is being, and not let go since. */
  get isInUse(): boolean {
    return this.#preparing !== undefined || this.#held !== undefined;
  }

  /** Checks, loads and warms it up. Once, unless it has failed or was let go. */
  prepare(): Promise<void> {
    if (this.#preparing !== undefined) return this.#preparing.done;
    const stop = new AbortController();
    const attempt = { done: this.#prepare(stop), stop };
    this.#preparing = attempt;
    attempt.done.catch(() => {
      if (this.#preparing === attempt) this.#preparing = undefined;
    });
    return attempt.done;
  }

  /** Keeps it on a device from now on, if that was asked for. */
  hold(): void {
    if (this.#held !== undefined || this.record.entry.preload !== true) return;
    this.#held = new AbortController();
    void this.#holdOn(this.#held.signal);
  }

  /** Nothing means it: it may be unloaded, and has to be prepared before it is trusted once more. */
  letGo(): void {
    this.#preparing?.stop.abort(new ClosedError(`the rollout of ${this.key}`));
    this.#preparing = undefined;
    this.#held?.abort();
    this.#held = undefined;
  }

  async #prepare(stop: AbortController): Promise<void> {
    const { pool, check, clock, prepareMs } = this.parts;
    const { entry, key } = this.record;
    const { warmUp } = entry;
    const limitMs = typeof warmUp?.timeout === "number" ? warmUp.timeout : prepareMs;
    const timer = clock.setTimer(limitMs, () => stop.abort(new TimeoutError(`preparing ${key}`, limitMs)));
    const { signal } = stop;
    let lease: ModelLease | undefined;
    try {
      await check?.(this.record, { signal });
      // Where there are no devices, as when they are ordered by the first request, nothing can be shown.
      const isProvable = entry.preload === true || warmUp !== undefined || pool.snapshot().capacity > 0;
      if (isProvable) lease = await pool.acquire(key, { signal });
      if (warmUp === undefined) return;
      const output = await pool.run(key, warmUp.input, { signal, priority: WARM_UP_PRIORITY });
      if (warmUp.output !== undefined && !isSame(output, warmUp.output)) throw new WarmUpAnswerError(key);
    } finally {
      timer.cancel();
      lease?.release();
    }
  }

  /** One lease after the other: a device that goes down takes its own with it. */
  async #holdOn(held: AbortSignal): Promise<void> {
    const { pool, clock, retryMs } = this.parts;
    while (!held.aborted) {
      try {
        const lease = await pool.acquire(this.key, { signal: held });
        await unlessAborted(() => new Promise(() => {}), lease.lost, held).catch(() => {});
        lease.release();
      } catch (error) {
        if (hasCode(error, "CLOSED")) return;
        // No device could load it: those who ask for it are told so, too.
        await clock.sleep(retryMs, held).catch(() => {});
      }
    }
  }
}

/** Nobody is served by it before it has answered. */
const WARM_UP_PRIORITY = 100;

function isSame(output: unknown, expected: unknown): boolean {
  const check = optionsOf("warmUp");
  try {
    return canonicalJson("output", output, check) === canonicalJson("output", expected, check);
  } catch {
    return false;
  }
}

// What no schedule, or no schedule of a kind, can exceed: arithmetic over batch times and deadlines.
import type { BatchTimes } from "../scheduler/contract.ts";

/** Requests per second. */
export interface GoodputBounds {
  /** Every batch as large as a deadline allows a request that never waits: b with `time(b) ≤ slo`. */
  readonly cap: number;
  /** Devices take turns, so that a request waits for 1/n of a batch: b with `time(b) × (1 + 1/n) ≤ slo`. */
  readonly staggered: number;
  /** A request may come just after a batch has started, and waits for all of it: b with `2 × time(b) ≤ slo`. */
  readonly uncoordinated: number;
}

/**
 * The goodput of `devices` alike that run one model, for constant arrivals (Symphony, Chen et al. 2023).
 *
 * @example
 * ```ts
 * import { goodputBounds } from "@holdfast/gpu-pool/sim";
 *
 * const { cap, staggered, uncoordinated } = goodputBounds({ perItemMs: 1.082, fixedMs: 5.204 }, 25, 8);
 * [cap, staggered, uncoordinated].map(Math.round); // => [5835, 5599, 4104]
 * ```
 */
export function goodputBounds(times: BatchTimes, sloMs: number, devices: number): GoodputBounds {
  const at = (withinMs: number): number => {
    const units = Math.floor((withinMs - times.fixedMs) / times.perItemMs + 1e-9);
    return units < 1 ? 0 : (devices * units * 1_000) / (times.perItemMs * units + times.fixedMs);
  };
  return { cap: at(sloMs), staggered: at(sloMs / (1 + 1 / devices)), uncoordinated: at(sloMs / 2) };
}

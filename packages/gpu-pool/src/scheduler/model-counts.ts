// What there is of a model, for those who look on.
import type { MeasuredTimes } from "./batch-profile.ts";
import type { ScheduledRequest } from "./contract.ts";
import type { Placement } from "./placement.ts";
import type { ModelState } from "./state.ts";

export interface ModelCounts {
  /** Requests that wait for it. */
  readonly waiting: number;
  /** Devices that load it, or are about to. */
  readonly loading: number;
  /** Devices that have it loaded. */
  readonly devices: readonly string[];
  /** Batches that were started, and requests in them. */
  readonly batches: number;
  readonly batched: number;
  /** What was measured of its batches, by type of device. */
  readonly profiles: Readonly<Record<string, MeasuredTimes>>;
  /** How long its last load took, in milliseconds; absent while none was measured. */
  readonly loadMs?: number;
}

export function modelCounts<Request extends ScheduledRequest>(
  { queue, coming, replicas, batches, batched, profiles, loads, loadMs }: ModelState<Request>,
  placement: Placement<Request>,
): ModelCounts {
  const devices = [...replicas].map((index) => placement.device(index).id);
  const measured: Record<string, MeasuredTimes> = {};
  for (const [type, profile] of profiles) if (profile.measured) measured[type] = profile.measured;
  return {
    waiting: queue.size,
    loading: coming,
    devices,
    batches,
    batched,
    profiles: measured,
    ...(loads === 0 ? {} : { loadMs }),
  };
}

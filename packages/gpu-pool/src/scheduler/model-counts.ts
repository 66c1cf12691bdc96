// What there is of a model, for those who look on.
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
}

export function modelCounts<Request extends ScheduledRequest>(
  { queue, coming, replicas, batches, batched }: ModelState<Request>,
  placement: Placement<Request>,
): ModelCounts {
  const devices = [...replicas].map((index) => placement.device(index).id);
  return { waiting: queue.size, loading: coming, devices, batches, batched };
}

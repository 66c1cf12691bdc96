// What a caller asks for with `run`, checked, as the request that the pool keeps of it.
import type { OptionReader } from "@holdfast/core";
import { MAX_DURATION_MS, optionsOf } from "@holdfast/core";
import type { RunModelOptions } from "./contract.ts";
import type { PoolRequest } from "./pool-requests.ts";

/** As one of any realm calls itself. */
const BUFFER = "[object ArrayBuffer]";

/**
 * The request of a call.
 *
 * @throws InvalidOptionError when an option is out of range; the signal's reason when it has aborted.
 */
export function requestOf(
  id: number,
  model: string,
  input: unknown,
  options: RunModelOptions,
  now: number,
  answer: Pick<PoolRequest, "resolve" | "reject">,
): PoolRequest {
  const check = optionsOf("run");
  const { signal, deadline, tenant, affinity } = check.object("options", options);
  if (signal !== undefined && !(signal instanceof AbortSignal))
    check.refuse("signal", signal, "an AbortSignal");
  signal?.throwIfAborted();
  const within = check.duration("deadline", deadline, { min: 1 }, MAX_DURATION_MS);
  return {
    id,
    model,
    priority: check.integer("priority", options.priority, { min: -100, max: 100 }, 0),
    tenant: tenant === undefined ? "" : check.string("tenant", tenant, 255),
    size: check.integer("size", options.size, { min: 1 }, 1),
    affinity: affinity === undefined ? undefined : check.string("affinity", affinity, 1_000),
    deadline: deadline === undefined ? Infinity : now + within,
    input,
    transfer: buffersOf(options.transfer, check),
    onProgress: check.function("onProgress", options.onProgress),
    signal,
    ...answer,
    arrivedAt: now,
    startedAt: undefined,
    device: undefined,
    batch: 0,
    mates: [],
    answered: false,
  };
}

/** The buffers that a request gives away. */
function buffersOf(
  transfer: readonly ArrayBuffer[] | undefined,
  check: OptionReader,
): readonly ArrayBuffer[] | undefined {
  if (transfer === undefined) return undefined;
  const isGood =
    Array.isArray(transfer) && transfer.every((one) => Object.prototype.toString.call(one) === BUFFER);
  return isGood ? transfer : check.refuse("transfer", transfer, "a list of ArrayBuffers");
}

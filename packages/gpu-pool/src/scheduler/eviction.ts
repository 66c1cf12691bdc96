// What would have to go from a device to make room, by what it would cost to have it back.
import type { ScheduledRequest } from "./contract.ts";
import type { DeviceState, ModelState } from "./state.ts";

/** A model that requests wait for stays at least this many times what it took to load. */
const KEPT_LOADS = 4;

/**
 * What would have to go for a model, cheapest first; nothing when that is not enough.
 *
 * @param isFirst - Whether the model is on no device yet: then even what others wait for may go.
 * @param alsoRunning - Whether what runs may go, once it has ended.
 */
export function victimsOn<R extends ScheduledRequest>(
  device: DeviceState<R>,
  model: ModelState<R>,
  models: readonly ModelState<R>[],
  now: number,
  isFirst: boolean,
  alsoRunning: boolean,
): { readonly victims: ModelState<R>[]; readonly cost: number } | undefined {
  let missing = model.memoryBytes - device.freeBytes;
  const candidates: { model: ModelState<R>; score: number }[] = [];
  const running = new Set(alsoRunning ? [] : device.batches.map((batch) => batch.model));
  for (const [index, held] of device.holds) {
    const other = models[index]!;
    if (held.state !== "resident" || held.leases > 0 || other.memoryBytes === 0 || running.has(other))
      continue;
    const isWanted = other.queue.size + other.wantedBy.size > 0;
    if (isWanted && (!isFirst || now - held.since < KEPT_LOADS * other.loadMs)) continue;
    candidates.push({ model: other, score: worthOf(other, now) / other.memoryBytes });
  }
  candidates.sort((a, b) => a.score - b.score || a.model.index - b.model.index);
  const victims: ModelState<R>[] = [];
  let cost = 0;
  for (const { model: other, score } of candidates) {
    if (missing <= 0) break;
    victims.push(other);
    missing -= other.memoryBytes;
    cost += score * other.memoryBytes;
  }
  return missing <= 0 ? { victims, cost } : undefined;
}

/** What it would cost to have it gone: how long it takes to load, by how often that would be. */
export function worthOf<R extends ScheduledRequest>(model: ModelState<R>, now: number): number {
  return model.loadMs * model.rate.at(now);
}

export function isRunning<R extends ScheduledRequest>(device: DeviceState<R>, model: ModelState<R>): boolean {
  return device.batches.some((batch) => batch.model === model);
}

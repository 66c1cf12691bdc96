// What a pool has measured, recorded in its registry: seldom, and only where it says something new.
import type { BatchTimes } from "../scheduler/contract.ts";
import type { MeasuredTimes } from "../scheduler/batch-profile.ts";
import type {
  MeasuredProfile,
  ModelRecord,
  ModelRegistry,
  RegistryCallOptions,
} from "../registry/contract.ts";
import type { FollowingPool } from "./contract.ts";

/** Fewer batches say too little. */
const FEWEST_BATCHES = 10;

/** What differs by less is the same. */
const SAME_WITHIN = 0.05;

/** Profiles that are recorded at a time, at most. */
const MOST_AT_ONCE = 50;

/**
 * Records what differs from what is there. Who else records the same model meanwhile wins: the next time this pool
 * compares with that.
 */
export async function recordProfiles(
  pool: FollowingPool,
  registry: ModelRegistry,
  records: ReadonlyMap<string, ModelRecord>,
  options: RegistryCallOptions,
): Promise<void> {
  let left = MOST_AT_ONCE;
  for (const { key, profiles, loadMs } of pool.snapshot().modelStates) {
    const record = records.get(key);
    if (record === undefined) continue;
    for (const [type, measured] of Object.entries(profiles)) {
      const known = record.profiles[type];
      if (measured.batches < FEWEST_BATCHES || (known !== undefined && isAlike(known, measured))) continue;
      if (left === 0) return;
      left -= 1;
      const profile: MeasuredProfile = { ...measured, ...(loadMs === undefined ? {} : { loadMs }) };
      await registry.recordProfile(key, type, profile, { ...options, ifRevision: known?.revision ?? 0 });
    }
  }
}

function isAlike(known: MeasuredProfile, measured: MeasuredTimes): boolean {
  return [1, measured.maxBatch].every((items) => {
    const [before, now] = [timeOf(known, items), timeOf(measured, items)];
    return Math.abs(now - before) <= SAME_WITHIN * before;
  });
}

function timeOf(
  { perItemMs, fixedMs, margin }: BatchTimes & { readonly margin: number },
  items: number,
): number {
  return (perItemMs * items + fixedMs) * margin;
}

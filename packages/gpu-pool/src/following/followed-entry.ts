// Entries of a registry as a pool takes them.
import type { ModelOptions } from "../model.ts";
import type { ModelRecord } from "../registry/contract.ts";

/** Whether it is not another that was registered in its place. */
export function isSameEntry(one: ModelRecord, other: ModelRecord): boolean {
  return one === other || JSON.stringify(one.entry) === JSON.stringify(other.entry);
}

/** The key of what an alias means. */
export function keyOf(alias: string, version: string): string {
  return `${alias.slice(0, alias.indexOf("@"))}@${version}`;
}

/** What the pool is to know of it: what was measured elsewhere stands for what was said. */
export function modelOf({ entry, profiles }: ModelRecord): ModelOptions {
  const { preload: _preload, warmUp: _warmUp, source: _source, metadata: _metadata, ...options } = entry;
  const measured = Object.entries(profiles);
  const times = measured.map(([type, { perItemMs, fixedMs }]) => [type, { perItemMs, fixedMs }] as const);
  const loads = measured.flatMap(([, { loadMs }]) => loadMs ?? []);
  return {
    ...options,
    ...(times.length === 0 ? {} : { timesByType: { ...options.timesByType, ...Object.fromEntries(times) } }),
    ...(loads.length === 0 ? {} : { loadTime: Math.max(...loads) }),
  };
}

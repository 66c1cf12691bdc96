// What has happened in a queue since its first task, in numbers.
import type { QueueMeter } from "../store/store.ts";

export type Counters = Omit<QueueMeter, "headAddedAt" | "paused">;

export function zeroes(): { -readonly [K in keyof Counters]: number } {
  return {
    added: 0,
    started: 0,
    completed: 0,
    failed: 0,
    cancelled: 0,
    retried: 0,
    waitedMs: 0,
    ranMs: 0,
  };
}

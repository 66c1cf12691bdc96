// A simulated model: what a scheduler cannot know better.
import type { BatchTimes } from "../scheduler/contract.ts";

/** A model as it really behaves. */
export interface SimulatedModel {
  readonly key: string;
  /** How long batches really take; a scheduler may know, or has to find out. */
  readonly times: BatchTimes;
  /** How long its requests may take, in milliseconds. */
  readonly sloMs: number;
  /** How long it takes to load, in milliseconds. @defaultValue 0 */
  readonly loadMs?: number;
  /** Memory on each device that holds it, in bytes. @defaultValue 0 */
  readonly memoryBytes?: number;
}

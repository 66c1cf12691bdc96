// What of a breaker's settings the fleet needs.
import type { Random } from "@holdfast/core";
import type { OpenTime } from "../circuit/open-time.ts";
import type { FleetOpenTime } from "./store.ts";

/** Times in milliseconds. */
export interface LinkSettings {
  readonly openTime: OpenTime;
  readonly probes: number;
  readonly probeDeadlineMs: number;
  readonly random: Random;
}

/** The open time that is asked for, of which the store knows how often in a row it was. */
export function fleetOpenTime({ openTime, random }: LinkSettings, atLeastMs: number): FleetOpenTime {
  const { initialMs, maxMs, factor, jitter } = openTime;
  return { initialMs, maxMs, factor, stretch: 1 + jitter * random(), atLeastMs };
}

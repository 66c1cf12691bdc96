import { memoryStore } from "@holdfast/queue";
import { queueStoreConformance } from "@holdfast/queue/testing";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import { describe, it } from "vitest";

let clock: ManualClock;

queueStoreConformance(
  { describe, it },
  {
    make: () => memoryStore({ clock: (clock = manualClock()) }),
    advance: (ms) => clock.advance(ms),
  },
);

import { memoryIdempotencyStore } from "@holdfast/core";
import type { ManualClock } from "@holdfast/core/testing";
import { idempotencyStoreConformance, manualClock } from "@holdfast/core/testing";
import { describe, it } from "vitest";

let clock: ManualClock;
idempotencyStoreConformance(
  { describe, it },
  {
    make: () => memoryIdempotencyStore({ clock: (clock = manualClock()) }),
    advance: (ms) => clock.advance(ms),
  },
);

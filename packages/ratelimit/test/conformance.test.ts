import { manualClock } from "@holdfast/core/testing";
import { leasedStore, memoryRateLimitStore } from "@holdfast/ratelimit";
import { rateLimitStoreConformance } from "@holdfast/ratelimit/testing";
import { describe, it } from "vitest";

describe("memoryRateLimitStore", () => {
  const clock = manualClock();
  rateLimitStoreConformance(
    { describe, it },
    { make: () => memoryRateLimitStore({ clock }), advance: (ms) => clock.advance(ms) },
  );
});

describe("memoryRateLimitStore in the year 2150", () => {
  const clock = manualClock(Date.UTC(2150, 0, 1));
  rateLimitStoreConformance(
    { describe, it },
    { make: () => memoryRateLimitStore({ clock }), advance: (ms) => clock.advance(ms) },
  );
});

describe("leasedStore", () => {
  const clock = manualClock();
  rateLimitStoreConformance(
    { describe, it },
    {
      make: () => leasedStore({ store: memoryRateLimitStore({ clock }), lease: "100ms", clock }),
      advance: (ms) => clock.advance(ms),
      lends: true,
    },
  );
});

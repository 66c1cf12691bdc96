import { manualClock } from "@holdfast/core/testing";
import { memoryCacheStore } from "@holdfast/cache";
import { cacheStoreConformance } from "@holdfast/cache/testing";
import { describe, it } from "vitest";

describe("memoryCacheStore", () => {
  const clock = manualClock();
  cacheStoreConformance(
    { describe, it },
    { make: () => memoryCacheStore({ clock }), advance: (ms) => clock.advance(ms) },
  );
});

import { memoryWriteLog } from "@holdfast/cache";
import { writeLogConformance } from "@holdfast/cache/testing";
import { manualClock } from "@holdfast/core/testing";
import { describe, it } from "vitest";

describe("memoryWriteLog", () => {
  const clock = manualClock();
  writeLogConformance(
    { describe, it },
    { make: () => memoryWriteLog({ clock }), advance: (ms) => clock.advance(ms) },
  );
});

describe("memoryWriteLog in the year 2150", () => {
  const clock = manualClock(Date.UTC(2150, 0, 1));
  writeLogConformance(
    { describe, it },
    { make: () => memoryWriteLog({ clock }), advance: (ms) => clock.advance(ms) },
  );
});

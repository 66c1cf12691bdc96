import type { Clock } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import { defineTask, handle, memoryStore, queue, worker } from "@holdfast/queue";
import { expect, it } from "vitest";

it("sets no timers for leases while a worker holds nothing, so that days of virtual time are cheap", async () => {
  const clock = manualClock();
  let beats = 0;
  const counting: Clock = {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    sleep: (...args) => clock.sleep(...args),
    setTimer: (duration, ...rest) => {
      if (duration === 10_000) beats += 1;
      return clock.setTimer(duration, ...rest);
    },
  };
  const work = defineTask<number, number, number>({ name: "work", timeout: "1h" });
  const jobs = queue({ name: "jobs", store: memoryStore({ clock }), clock: counting });
  const working = worker(jobs, [handle(work, ({ input }) => clock.sleep(input).then(() => input))], {
    lease: "30s",
  });
  await clock.advance("1h");
  expect(beats).toBe(0);
  const { id } = await jobs.enqueue(work, 60_000);
  await clock.advance("1m");
  await expect(jobs.wait(work, id)).resolves.toBe(60_000);
  expect((await jobs.status(id)).leaseLosses).toBe(0);
  const busy = beats;
  expect(busy).toBeGreaterThanOrEqual(6);
  await clock.advance("1h");
  expect(beats - busy).toBeLessThanOrEqual(1);
  await working.close();
});

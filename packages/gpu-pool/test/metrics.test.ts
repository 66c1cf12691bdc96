import { prometheus } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import { gpuPool, gpuPoolMetrics } from "@holdfast/gpu-pool";
import { describe, expect, it } from "vitest";
import { ScriptedWorkers } from "./fixtures/scripted-workers.ts";

describe("gpuPoolMetrics", () => {
  it("measures how long requests wait and run, by model and outcome, and counts what becomes of devices", async () => {
    using numbers = prometheus({ tables: [gpuPoolMetrics] });
    const clock = manualClock();
    const workers = new ScriptedWorkers();
    const pool = gpuPool({ name: "images", workers, models: [{ name: "m" }], clock });
    await clock.advance(0);
    const first = pool.run("m", 1);
    const second = pool.run("m", 2);
    await clock.advance(2_000);
    workers.succeed(1, "one");
    await clock.advance(500);
    workers.succeed(2, "two");
    await Promise.all([first, second]);
    await pool.close();
    const text = numbers.text();
    expect(text).toContain(
      'holdfast_gpu_pool_request_duration_seconds_sum{pool="images",model="m@1",outcome="succeeded"} 2.5',
    );
    expect(text).toContain('holdfast_gpu_pool_request_wait_seconds_sum{pool="images",model="m@1"} 2');
    expect(text).toContain('holdfast_gpu_pool_device_changes_total{pool="images",device="a",status="up"} 1');
  });
});

import { health } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";

describe("health", () => {
  it("checks every dependency and reports status and latency", async () => {
    const clock = manualClock();
    const state = health({
      clock,
      details: "always",
      checks: {
        db: () => clock.sleep(5),
        mail: { check: () => Promise.reject(new Error("redis://u:secret@host refused")), critical: false },
      },
    });
    const asked = state.handler(new Request("http://localhost/health"));
    await clock.advance(5);
    const response = await asked;
    const body: unknown = await response.json();
    expect(response.status).toBe(200);
    expect(body).toMatchObject({
      status: "degraded",
      dependencies: { db: { status: "up", latencyMs: 5 }, mail: { error: "redis://***@host refused" } },
    });
  });

  it("reports a hung check down at its deadline and never starts a second one beside it", async () => {
    const clock = manualClock();
    let started = 0;
    const check = (): Promise<never> => ((started += 1), new Promise(() => {}));
    const state = health({ clock, checks: { db: { check, deadline: "1s", cacheFor: 0 } } });
    const first = state.report();
    await clock.advance("1s");
    expect((await first).ready).toBe(false);
    expect((await state.report()).dependencies).toMatchObject({ db: { status: "down" } });
    expect(started).toBe(1);
  });

  it("is not ready but alive while draining", async () => {
    const state = health({ checks: {} });
    state.drain();
    expect((await state.handler(new Request("http://localhost/health/ready"))).status).toBe(503);
    expect((await state.handler(new Request("http://localhost/health/live"))).status).toBe(200);
  });
});

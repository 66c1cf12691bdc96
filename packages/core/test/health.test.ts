import type { Health, HealthEvent, HealthOptions } from "@holdfast/core";
import { channel, health } from "@holdfast/core";
import { leakCheck, manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";

const clock = manualClock();

function open(checks: HealthOptions["checks"], options: Partial<HealthOptions> = {}): Health {
  return health({ clock, checks, ...options });
}

const ask = (state: Health, path = "/health", method = "GET"): Promise<Response> =>
  Promise.resolve(state.handler(new Request(`http://localhost${path}`, { method })));

describe("health", () => {
  it(
    row(75, "shows the status and the latency of each dependency, and the status of the whole"),
    async () => {
      const state = open(
        {
          db: () => clock.sleep(5),
          mail: { check: () => Promise.reject(new Error("refused")), critical: false },
        },
        { details: "always" },
      );
      const asked = ask(state);
      await clock.advance(5);
      const response = await asked;
      expect(response.status).toBe(200);
      expect(response.headers.get("cache-control")).toBe("no-store");
      expect(await response.json()).toMatchObject({
        status: "degraded",
        ready: true,
        dependencies: {
          db: { status: "up", critical: true, latencyMs: 5 },
          mail: { status: "degraded", critical: false, error: "Error" },
        },
      });
    },
  );

  it(
    row(75, "is not ready while a critical dependency is down, and ready again once that is up"),
    async () => {
      let isUp = false;
      const state = open({ db: () => (isUp ? undefined : Promise.reject(new Error("down"))) });
      expect((await ask(state, "/health/ready")).status).toBe(503);
      expect((await ask(state, "/health/live")).status).toBe(200);
      isUp = true;
      await clock.advance("1s");
      expect((await ask(state, "/health/ready")).status).toBe(200);
    },
  );

  it("reports a check that hangs down at its deadline, aborts it, and starts no second one beside it", async () => {
    let started = 0;
    let aborted: unknown;
    const state = open({
      db: {
        check: ({ signal }) => {
          started += 1;
          signal.addEventListener("abort", () => (aborted = signal.reason));
          return new Promise(() => {});
        },
        deadline: "1s",
        cacheFor: 0,
      },
    });
    const first = state.report();
    await clock.advance("1s");
    expect(await first).toMatchObject({
      ready: false,
      dependencies: { db: { error: "TIMEOUT", latencyMs: 1_000 } },
    });
    expect(aborted).toMatchObject({ code: "TIMEOUT" });
    expect((await state.report()).dependencies).toMatchObject({ db: { status: "down" } });
    expect(started).toBe(1);
  });

  it("asks once for all who ask at a time, and not again while the answer is good", async () => {
    let looks = 0;
    const state = open({ db: { check: () => ((looks += 1), clock.sleep(10)), cacheFor: "1s" } });
    const reports = [state.report(), state.report(), ask(state)];
    await clock.advance(10);
    await Promise.all(reports);
    await state.report();
    expect(looks).toBe(1);
    await clock.advance("1s");
    const later = state.report();
    await clock.advance(10);
    await later;
    expect(looks).toBe(2);
  });

  it("says since when a dependency is as it is", async () => {
    const state = open({ db: { check: () => {}, cacheFor: 0 } });
    const since = (await state.report()).dependencies["db"]?.since;
    await clock.advance("1h");
    expect((await state.report()).dependencies["db"]?.since).toBe(since);
  });

  it("survives checks that throw at once, throw no Error, or lie", async () => {
    const state = open({
      throws: () => {
        throw new Error("at once");
      },
      text: () => Promise.reject("just text"), // oxlint-disable-line prefer-promise-reject-errors
      falsy: () => false,
    });
    const { dependencies } = await state.report();
    expect(dependencies).toMatchObject({
      throws: { status: "down" },
      text: { status: "down", error: "NON_ERROR_THROWN" },
      falsy: { status: "up" },
    });
  });

  it("tells the outside no message of an error, and no dependency unless it may see them", async () => {
    const error = Object.assign(new Error("redis://user:secret@host refused"), { code: "ECONNREFUSED" });
    const checks = { redis: () => Promise.reject(error) };
    expect(await (await ask(open(checks))).json()).toEqual({ status: "down", ready: false, draining: false });
    const inside = open(checks, { details: (request) => new URL(request.url).pathname === "/health" });
    const text = await (await ask(inside)).text();
    expect(text).toContain('"error":"ECONNREFUSED"');
    expect(text).not.toContain("secret");
    expect(await (await ask(inside, "/health/ready")).json()).not.toHaveProperty("dependencies");
    const broken = open(checks, {
      details: () => {
        throw new Error("who is this?");
      },
    });
    expect(await (await ask(broken)).json()).not.toHaveProperty("dependencies");
  });

  it("is not ready but alive from the moment it drains", async () => {
    const state = open({});
    expect((await ask(state, "/health/ready")).status).toBe(200);
    state.drain();
    expect(await (await ask(state, "/health/ready")).json()).toEqual({
      status: "down",
      ready: false,
      draining: true,
    });
    expect((await ask(state, "/health/live")).status).toBe(200);
  });

  it("is only read: other methods get 405", async () => {
    const response = await ask(open({}), "/health", "POST");
    expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    expect((await ask(open({}), "/health", "HEAD")).status).toBe(200);
  });

  it("publishes each change of a dependency's status once, with the error itself", async () => {
    const events: HealthEvent[] = [];
    const stop = channel<HealthEvent>("core", "health").subscribe((event) => events.push(event));
    let isUp = true;
    const error = new Error("gone");
    const state = open({ db: { check: () => (isUp ? undefined : Promise.reject(error)), cacheFor: 0 } });
    for (const up of [true, true, false, false, true]) {
      isUp = up;
      await state.report();
    }
    stop();
    expect(events).toEqual([
      { dependency: "db", status: "up", latencyMs: 0 },
      { dependency: "db", status: "down", was: "up", latencyMs: 0, error },
      { dependency: "db", status: "up", was: "down", latencyMs: 0 },
    ]);
  });

  it("leaves no timer behind", async () => {
    const check = leakCheck({ clocks: [clock] });
    await open({ db: () => {}, bad: () => Promise.reject(new Error("x")) }).report();
    check.assertNone();
  });

  it("refuses bad options, naming them", () => {
    expect(() => open({ db: { check: () => {}, deadline: 0 } })).toThrow(/checks\.db\.deadline/);
    expect(() => open({ db: "ping" as never })).toThrow(/checks\.db/);
    expect(() => open({}, { details: "sometimes" as never })).toThrow(/details/);
    expect(() => open(Object.fromEntries(Array.from({ length: 101 }, (_, n) => [n, () => {}])))).toThrow(
      /100/,
    );
  });
});

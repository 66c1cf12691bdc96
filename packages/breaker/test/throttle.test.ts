import type { AdaptiveThrottleOptions, ThrottledEvent } from "@holdfast/breaker";
import { adaptiveThrottle, bulkhead } from "@holdfast/breaker";
import type { Policy } from "@holdfast/core";
import { channel, pipeline } from "@holdfast/core";
import type { ManualClock } from "@holdfast/core/testing";
import { leakCheck, manualClock, seededRandom } from "@holdfast/core/testing";
import { beforeEach, describe, expect, it } from "vitest";

let clock: ManualClock;

beforeEach(() => {
  clock = manualClock();
});

function open(options: AdaptiveThrottleOptions = {}): Policy {
  return adaptiveThrottle({ clock, random: seededRandom(1), ...options });
}

const busy = Object.assign(new Error("busy"), { status: 503 });
const call = (throttle: Policy, error?: unknown, key?: string): Promise<unknown> =>
  throttle
    .run(() => (error === undefined ? "fine" : Promise.reject(error as Error)), { idempotencyKey: key })
    .catch((thrown: unknown) => (thrown as { code?: unknown }).code ?? thrown);

async function share(throttle: Policy, calls: number, error?: unknown, key?: string): Promise<number> {
  let held = 0;
  for (let each = 0; each < calls; each += 1)
    if ((await call(throttle, error, key)) === "THROTTLED") held += 1;
  return held / calls;
}

describe("adaptiveThrottle", () => {
  it("holds nothing back while at least every second request is accepted", async () => {
    const throttle = open();
    for (let each = 0; each < 500; each += 1) {
      await call(throttle);
      expect(await call(throttle, busy)).toBe(busy);
    }
  });

  it("holds nearly all back when nothing is accepted, and sends one now and then to see", async () => {
    const throttle = open();
    expect(await share(throttle, 1_000, busy)).toBeGreaterThan(0.98);
    const sent = 1_000 * (1 - (await share(throttle, 1_000, busy)));
    expect(sent).toBeLessThan(10);
  });

  it("settles at k requests for each that is accepted", async () => {
    const throttle = open({ k: 2 });
    let sent = 0;
    for (let second = 0; second < 400; second += 1) {
      // The callee takes ten of the hundred that are asked for each second.
      let room = 10;
      if (second === 200) sent = 0;
      for (let each = 0; each < 100; each += 1)
        await throttle
          .run(() => {
            sent += 1;
            if ((room -= 1) < 0) throw busy;
          })
          .catch(() => {});
      await clock.advance("1s");
    }
    expect(sent / 200).toBeGreaterThan(15);
    expect(sent / 200).toBeLessThan(25);
  });

  it("holds nothing of a burst to a healthy callee back, and all but the first of one to a callee that hangs", async () => {
    const healthy = open();
    const burst = Array.from({ length: 100 }, () => healthy.run(() => clock.sleep(10)));
    await clock.advance(10);
    await Promise.all(burst);
    const hanging = open({ undecided: 50 });
    const pending = Array.from({ length: 200 }, () => hanging.run(() => new Promise(() => {})));
    let held = 0;
    for (const each of pending) each.catch(() => (held += 1));
    await clock.advance(0);
    expect(held).toBeGreaterThan(130);
    expect(hanging.snapshot()).toMatchObject({ requests: 200, accepts: 0 });
  });

  it("counts each request before it is sent when it is told to, as the book does", () => {
    const throttle = open({ undecided: 0 });
    void throttle.run(() => new Promise(() => {}));
    expect(throttle.snapshot()["probability"]).toBe(0.5);
  });

  it("forgets what is older than its window, also over an idle hour", async () => {
    const throttle = open({ window: "2m" });
    await share(throttle, 500, busy);
    await clock.advance("119s");
    expect(throttle.snapshot()["requests"]).toBeGreaterThan(0);
    await clock.advance("6s");
    expect(throttle.snapshot()).toMatchObject({ requests: 0, accepts: 0, probability: 0 });
    await share(throttle, 10, busy);
    await clock.advance("1h");
    expect(throttle.snapshot()["requests"]).toBe(0);
  });

  it("holds less critical calls back sooner, each class by its own requests", async () => {
    const throttle = open({
      classes: { critical: 10, sheddable: 1.1 },
      classOf: ({ idempotencyKey }) => idempotencyKey,
    });
    for (const key of ["critical", "sheddable"])
      for (let each = 0; each < 300; each += 1) await call(throttle, each % 3 === 0 ? undefined : busy, key);
    const { classes } = throttle.snapshot() as unknown as {
      classes: Record<string, { readonly probability: number }>;
    };
    expect(classes["critical"]!.probability).toBe(0);
    expect(classes["sheddable"]!.probability).toBeGreaterThan(0.3);
    expect(throttle.snapshot()["requests"]).toBe(0);
  });

  it("does not count a caller's abort, nor failures that are no refusal", async () => {
    const throttle = open();
    for (let each = 0; each < 50; each += 1) {
      const stop = new AbortController();
      const aborted = throttle.run(
        ({ signal }) =>
          new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
        { signal: stop.signal },
      );
      stop.abort("enough");
      await expect(aborted).rejects.toBe("enough");
      await call(throttle, new Error("bug"));
    }
    expect(throttle.snapshot()["probability"]).toBe(0);
    await expect(throttle.run(() => 1, { signal: AbortSignal.abort("before") })).rejects.toBe("before");
  });

  it("takes a call that its caller aborts out of the count: it is no accept that would let others through", async () => {
    const throttle = open();
    for (let each = 0; each < 100; each += 1) {
      await call(throttle, busy);
      const stop = new AbortController();
      const aborted = throttle.run(({ signal }) => clock.sleep("1h", signal), { signal: stop.signal });
      stop.abort("enough");
      await aborted.catch(() => {});
    }
    expect(throttle.snapshot()).toMatchObject({ accepts: 0 });
    expect(throttle.snapshot()["probability"]).toBeGreaterThan(0.98);
  });

  it("takes a call out that is aborted after it has left the window only once", async () => {
    const throttle = open({ window: "1s" });
    const stop = new AbortController();
    const aborted = throttle.run(({ signal }) => clock.sleep("1h", signal), { signal: stop.signal });
    await clock.advance("2s");
    await call(throttle);
    stop.abort("enough");
    await expect(aborted).rejects.toBe("enough");
    expect(throttle.snapshot()).toMatchObject({ requests: 1, accepts: 1 });
  });

  it("learns nothing from what a policy further in refuses: the callee has not seen it", async () => {
    const throttle = open();
    const full = bulkhead({ concurrent: 1, clock });
    void full.run(() => new Promise(() => {}));
    const guarded = pipeline(throttle, full);
    for (let each = 0; each < 50; each += 1)
      await expect(guarded.run(() => 1)).rejects.toMatchObject({ code: "BULKHEAD_FULL" });
    expect(throttle.snapshot()).toMatchObject({ requests: 0, accepts: 0, probability: 0 });
  });

  it("says what it holds back, as an error and as an event; a throwing subscriber changes nothing", async () => {
    const events: ThrottledEvent[] = [];
    const stop = channel<ThrottledEvent>("breaker", "throttled").subscribe((event) => {
      events.push(event);
      throw new Error("subscriber");
    });
    const throttle = open({ name: "api" });
    await share(throttle, 200, busy);
    stop();
    expect(events[0]).toMatchObject({ throttle: "api" });
    expect(events[0]!.probability).toBeGreaterThan(0);
  });

  it("leaves nothing behind, describes itself, and refuses bad options", async () => {
    const check = leakCheck({ clocks: [clock] });
    await call(open());
    check.assertNone();
    expect(open().describe().summary).toBe(
      "holds calls back when more than 2 are sent for each that is accepted within 2m",
    );
    expect(() => open({ k: 1 })).toThrow(/k/);
    expect(() => open({ classes: { a: 0 } })).toThrow(/classes\.a/);
    expect(() => open({ window: 10 })).toThrow(/window/);
  });
});

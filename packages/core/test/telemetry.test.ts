import diagnostics from "node:diagnostics_channel";
import { afterEach, describe, expect, it, vi } from "vitest";
import { channel, notify } from "@holdfast/core";

const unhandled = vi.fn();
process.on("unhandledRejection", unhandled);
afterEach(async () => {
  vi.unstubAllGlobals();
  vi.resetModules();
  await new Promise((resolve) => setImmediate(resolve));
  expect(unhandled).not.toHaveBeenCalled();
});

describe("channel", () => {
  it("is the diagnostics channel of its name, in both directions", () => {
    const events = channel<{ readonly key: string }>("cache", "evicted");
    expect(events.name).toBe("holdfast:cache:evicted");
    expect(events.hasSubscribers).toBe(false);
    const seen: unknown[] = [];
    const listener = (message: unknown): void => void seen.push(message);
    diagnostics.subscribe("holdfast:cache:evicted", listener);
    expect(events.hasSubscribers).toBe(true);
    events.publish({ key: "a" });
    diagnostics.unsubscribe("holdfast:cache:evicted", listener);
    const stop = events.subscribe(({ key }) => seen.push(key));
    diagnostics.channel("holdfast:cache:evicted").publish({ key: "b" });
    stop();
    stop();
    events.publish({ key: "c" });
    expect(seen).toEqual([{ key: "a" }, "b"]);
    expect(events.hasSubscribers).toBe(false);
  });

  it("[bug 5] a subscriber that throws harms neither the publisher nor the other subscribers", () => {
    const events = channel<number>("test", "throwing");
    const seen = vi.fn();
    const stops = [
      events.subscribe(() => {
        throw new Error("subscriber");
      }),
      events.subscribe(seen),
    ];
    events.publish(1);
    expect(seen).toHaveBeenCalledWith(1);
    for (const stop of stops) stop();
  });

  it("does nothing, quietly, on a host without diagnostics channels", async () => {
    vi.stubGlobal("process", undefined);
    const { channel: elsewhere } = await import("../src/telemetry/channel.ts");
    const events = elsewhere<number>("test", "browser");
    const stop = events.subscribe(() => expect.unreachable());
    events.publish(1);
    stop();
    expect(events.hasSubscribers).toBe(false);
  });
});

describe("notify", () => {
  it("[bug 5] drops what an observer throws, now or later", () => {
    notify(undefined, 1);
    notify(() => {
      throw new Error("now");
    }, 1);
    notify(() => Promise.reject(new Error("later")), 1);
    const told = vi.fn();
    notify(told, 1);
    expect(told).toHaveBeenCalledExactlyOnceWith(1);
  });
});

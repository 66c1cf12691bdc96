import type { CircuitBreakersOptions } from "@holdfast/breaker";
import { circuitBreakers, consecutive } from "@holdfast/breaker";
import { manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";

const clock = manualClock();

function open(options: CircuitBreakersOptions = {}) {
  return circuitBreakers({ trip: consecutive({ failures: 1 }), openFor: "10s", clock, ...options });
}

type Breakers = ReturnType<typeof open>;

const fail = (keys: Breakers, key: string): Promise<unknown> =>
  keys
    .for(key)
    .run(() => Promise.reject(new Error("down")))
    .catch(() => {});

describe("circuitBreakers", () => {
  it("keeps one breaker for each key, named by it", async () => {
    const hosts = open({ name: "host" });
    expect(hosts.for("a")).toBe(hosts.for("a"));
    await fail(hosts, "a");
    expect([hosts.for("a").state, hosts.for("b").state]).toEqual(["open", "closed"]);
    expect(hosts.open().map(({ name }) => name)).toEqual(["host:a"]);
  });

  it("[bug 25] keeps no more keys than it may, and never forgets one that is not closed", async () => {
    const hosts = open({ maxKeys: 3 });
    await fail(hosts, "bad");
    const bad = hosts.for("bad");
    for (let key = 0; key < 1_000; key += 1) await hosts.for(`k${key}`).run(() => key);
    expect(hosts.size).toBe(3);
    expect(hosts.for("bad")).toBe(bad);
    expect(bad.state).toBe("open");
  });

  it("forgets the closed one that was used longest ago", () => {
    const hosts = open({ maxKeys: 2 });
    const [a, b] = [hosts.for("a"), hosts.for("b")];
    hosts.for("a");
    hosts.for("c");
    expect(hosts.for("a")).toBe(a);
    expect(hosts.for("b")).not.toBe(b);
  });

  it("shares one breaker among new keys when no key can be forgotten", async () => {
    const hosts = open({ maxKeys: 2 });
    await fail(hosts, "a");
    await fail(hosts, "b");
    const shared = hosts.for("c");
    expect(hosts.for("d")).toBe(shared);
    expect([hosts.size, shared.name]).toEqual([2, "circuit-breaker:…"]);
    await clock.advance("10s");
    await hosts.for("a").run(() => 1);
    expect(hosts.for("c")).not.toBe(shared);
  });

  it("takes a forgotten one back when a call of it that still ran opens it", async () => {
    const hosts = open({ maxKeys: 1 });
    let reject = (_: Error): void => {};
    const running = hosts
      .for("slow")
      .run(() => new Promise((_, no) => (reject = no)))
      .catch(() => {});
    hosts.for("other");
    reject(new Error("down"));
    await running;
    expect(hosts.for("slow").state).toBe("open");
  });

  it("tells its listener of every key's changes, and refuses bad options when it is made", async () => {
    const seen: string[] = [];
    const hosts = open({ onStateChange: ({ breaker, to }) => seen.push(`${breaker} ${to}`) });
    await fail(hosts, "a");
    expect(seen).toEqual(["circuit-breaker:a open"]);
    expect(() => open({ maxKeys: 0 })).toThrow(/maxKeys/);
    expect(() => open({ probes: 0 })).toThrow(/probes/);
    expect(() => hosts.for(5 as never)).toThrow(/key/);
  });
});

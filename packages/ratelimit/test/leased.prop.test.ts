// Many processes that borrow from one store, that crash, stop and lose it: never more than the bound, and nobody starves.
import { StoreUnavailableError } from "@holdfast/core";
import { manualClock, seededRandom } from "@holdfast/core/testing";
import type { Ledger, RateLimitStore } from "@holdfast/ratelimit";
import {
  fixedWindow,
  leasedStore,
  memoryRateLimitStore,
  rateLimiter,
  tokenBucket,
} from "@holdfast/ratelimit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const LEASE_MS = 200;

/** The shared store, as one process reaches it: each call takes a while, and it can be cut off. */
function reached(store: RateLimitStore, wait: () => Promise<void>, isCut: () => boolean): RateLimitStore {
  return {
    traits: { shared: true, clock: "server" },
    close: () => Promise.resolve(),
    open: (name, limits): Ledger => {
      const ledger = store.open(name, limits);
      const call = async <T>(work: () => Promise<T>): Promise<T> => {
        await wait();
        if (isCut()) throw new StoreUnavailableError("redis", "cut off");
        const value = await work();
        await wait();
        if (isCut()) throw new StoreUnavailableError("redis", "its answer was lost");
        return value;
      };
      return {
        take: (one, mode) => call(() => ledger.take(one, mode)),
        borrow: (one) => call(() => ledger.borrow(one)),
        refund: (one, marks) => call(() => ledger.refund(one, marks)),
        renew: (one, marks) => call(() => ledger.renew(one, marks)),
        block: (one, forMs) => call(() => ledger.block(one, forMs)),
        reset: (one) => call(() => ledger.reset(one)),
      };
    },
  };
}

const step = fc.record({
  process: fc.nat(3),
  what: fc.oneof(
    { weight: 20, arbitrary: fc.constant("take" as const) },
    { weight: 1, arbitrary: fc.constant("crash" as const) },
    { weight: 1, arbitrary: fc.constant("cut" as const) },
    { weight: 1, arbitrary: fc.constant("mend" as const) },
  ),
  times: fc.integer({ min: 1, max: 12 }),
  cost: fc.integer({ min: 1, max: 3 }),
  afterMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 500 })),
});

describe("leasedStore", () => {
  it("lets through no more than the limit allows in the time and a lease, however processes crash and are cut off", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 5, max: 60 }),
        fc.integer({ min: 1, max: 100 }),
        fc.array(step, { minLength: 5, maxLength: 60 }),
        fc.integer({ min: 0, max: 30 }),
        async (capacity, refill, plan, delayMs) => {
          const clock = manualClock();
          const shared = memoryRateLimitStore({ clock });
          const limits = tokenBucket({ capacity, refill, per: "1s" });
          const cut = new Set<number>();
          const make = (index: number) =>
            rateLimiter({
              clock,
              limits,
              onStoreError: "closed",
              store: leasedStore({
                clock,
                lease: LEASE_MS,
                maxShare: 0.5,
                store: reached(
                  shared,
                  () => clock.sleep(delayMs),
                  () => cut.has(index),
                ),
              }),
            });
          const processes = [0, 1, 2, 3].map(make);
          const admitted: { readonly at: number; readonly cost: number }[] = [];
          for (const { process, what, times, cost, afterMs } of plan) {
            if (what === "crash") processes[process] = make(process);
            else if (what === "cut") cut.add(process);
            else if (what === "mend") cut.delete(process);
            else
              for (let time = 0; time < times; time += 1) {
                const amount = Math.min(cost, capacity);
                void processes[process]!.take("k", { cost: amount }).then(
                  ({ allowed }) => {
                    if (allowed) admitted.push({ at: clock.monotonic(), cost: amount });
                  },
                  () => {},
                );
              }
            await clock.advance(afterMs);
          }
          await clock.advance("10s");
          for (let from = 0; from < admitted.length; from += 1) {
            let sum = 0;
            for (let to = from; to < admitted.length; to += 1) {
              sum += admitted[to]!.cost;
              const elapsedMs = admitted[to]!.at - admitted[from]!.at;
              // What was decided exactly is heard of later by the time of an answer.
              const bound = capacity + (refill * (elapsedMs + LEASE_MS + delayMs)) / 1_000 + 1e-6;
              expect(sum).toBeLessThanOrEqual(bound);
            }
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it("gives everybody who asks what they are entitled to: the fleet's rate, and nobody starves", async () => {
    const clock = manualClock();
    const shared = memoryRateLimitStore({ clock });
    const processes = Array.from({ length: 5 }, (_, index) =>
      rateLimiter({
        clock,
        limits: tokenBucket({ capacity: 100, refill: 100, per: "1s" }),
        onStoreError: "closed",
        store: leasedStore({
          clock,
          lease: LEASE_MS,
          random: seededRandom(index),
          store: reached(
            shared,
            () => clock.sleep(1),
            () => false,
          ),
        }),
      }),
    );
    const taken = processes.map(() => 0);
    for (let ms = 0; ms < 20_000; ms += 5) {
      // No process is always first.
      for (let turn = 0; turn < processes.length; turn += 1) {
        const index = (turn + ms / 5) % processes.length;
        void processes[index]!.take("k").then(({ allowed }) => {
          if (allowed) taken[index]! += 1;
        });
      }
      await clock.advance(5);
    }
    const total = taken.reduce((sum, one) => sum + one, 0);
    expect(total).toBeLessThanOrEqual(100 + 100 * 20.2);
    // What is borrowed and not used in time is all that is lost.
    expect(total).toBeGreaterThan(0.9 * 100 * 20);
    for (const one of taken) expect(one, String(taken)).toBeGreaterThan(0.5 * (total / 5));
  });

  it("borrows what it has just needed, and takes most without asking", async () => {
    const clock = manualClock();
    let asked = 0;
    const shared = memoryRateLimitStore({ clock });
    const store = leasedStore({
      clock,
      store: reached(
        shared,
        async () => void (asked += 1),
        () => false,
      ),
    });
    const limits = tokenBucket({ capacity: 100_000, refill: 100_000, per: "1s" });
    const limiter = rateLimiter({ clock, limits, onStoreError: "closed", store });
    for (let ms = 0; ms < 2_000; ms += 1) {
      for (let call = 0; call < 20; call += 1) expect((await limiter.take("k")).allowed).toBe(true);
      await clock.advance(1);
    }
    expect(asked).toBeLessThan(200);
  });

  it("gives back what it has not used: after a lease, and when it is closed", async () => {
    const clock = manualClock();
    const shared = memoryRateLimitStore({ clock });
    const limits = [fixedWindow({ limit: 1_000, window: "1h" })];
    const ledger = shared.open("rate-limiter", limits);
    const left = async (): Promise<number> =>
      (await ledger.take({ subject: "k", cost: 0, limits }, "peek")).remaining;
    const store = leasedStore({
      clock,
      store: reached(
        shared,
        () => Promise.resolve(),
        () => false,
      ),
    });
    const limiter = rateLimiter({ clock, limits, onStoreError: "closed", store });
    for (let call = 0; call < 20; call += 1) await limiter.take("k");
    expect(await left()).toBeLessThan(980);
    await clock.advance("2s");
    expect(await left()).toBe(980);
    for (let call = 0; call < 20; call += 1) await limiter.take("k");
    expect(await left()).toBeLessThan(960);
    await store.close();
    expect(await left()).toBe(960);
    expect(clock.pendingTimers).toBe(0);
  });
});

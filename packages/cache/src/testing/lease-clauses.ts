// One load for each key: who may load, and whose value comes in.
import { ensure, same } from "@holdfast/core/testing";
import type { Clause } from "./trial.ts";

export const leaseClauses: readonly Clause[] = [
  {
    title: "gives one lease to many who ask at a time",
    check: async (t) => {
      const readings = await Promise.all(Array.from({ length: 50 }, () => t.read("a", "missing")));
      const fences = readings.flatMap(({ lease }) => (lease.kind === "granted" ? [lease.fence] : []));
      same(fences.length, 1, "leases that were given");
      for (const { lease } of readings)
        if (lease.kind !== "granted")
          same(
            [lease.kind, lease.kind === "held" && lease.fence],
            ["held", fences[0]],
            "what the others are told",
          );
    },
  },
  {
    title: "tells a holder its own lease, and gives it another instead",
    check: async (t) => {
      const fence = await t.leased("a");
      const { lease } = await t.read("a", "missing", { holder: "two" });
      ensure(lease.kind === "held" && !lease.isOwn && lease.forMs > 0, "another's lease is told as such");
      const { lease: own } = await t.read("a", "missing", { holder: "one" });
      ensure(own.kind === "held" && own.isOwn && own.fence === fence, "one's own lease is told as such");
      await t.expectLease(
        "held",
        t.read("a", "missing", { instead: fence - 1 }),
        "instead of one that is no more",
      );
      const next = await t.leased("a", "missing", { instead: fence });
      ensure(next > fence, "fences rise");
      await t.notFilled("a", fence, t.value("old"), "a load under the lease that was given up");
      await t.filled("a", next, t.value("new"), "a load under the lease instead");
    },
  },
  {
    title: "keeps what was loaded under the lease, and ends the lease",
    check: async (t) => {
      const fence = await t.leased("a");
      await t.filled("a", fence, t.value("loaded", { tags: ["x"] }), "a load");
      await t.expectValue("a", "loaded", "what was loaded");
      await t.notFilled("a", fence, t.value("again"), "a second value under one lease");
      await t.expectValue("a", "loaded", "what is there after it");
    },
  },
  {
    title: "keeps nothing under a fence that was never given",
    check: async (t) => {
      await t.notFilled("a", 1, t.value("x"), "a value under no lease");
      const fence = await t.leased("a");
      await t.notFilled("a", fence + 1, t.value("x"), "a value under another fence");
      await t.notFilled("b", fence, t.value("x"), "a value of another key");
      await t.expectNothing("a", "what is there");
      await t.filled("a", fence, t.value("x"), "the load itself");
    },
  },
  {
    title: "gives a lease for what is missing or stale, and none for what is fresh",
    check: async (t) => {
      await t.region.set("a", t.value("old", { freshMs: t.unitMs, lastMs: 3_600_000 }));
      await t.expectLease("none", t.read("a", "missing"), "a lease for what is fresh");
      await t.pass(1);
      const { lease, entry } = await t.read("a", "missing");
      same([lease.kind, entry?.payload], ["granted", "old"], "the lease and the stale value");
    },
  },
  {
    title: "gives a lease to renew only to who knows the value that is there",
    check: async (t) => {
      const version = await t.region.set("a", t.value("known"));
      await t.expectLease("none", t.read("a", "same", { have: version - 1 }), "a lease for an older one");
      await t.expectLease("granted", t.read("a", "same", { have: version }), "a lease for the newest");
      await t.expectLease("held", t.read("a", "same", { have: version }), "a second lease");
      await t.expectLease("granted", t.read("b", "same"), "a lease for what is missing");
    },
  },
  {
    title: "takes a lease away for who has to load in any case",
    check: async (t) => {
      const first = await t.leased("a");
      const second = await t.leased("a", "always");
      await t.notFilled("a", first, t.value("first"), "the load that began before");
      await t.filled("a", second, t.value("second"), "the load that began after");
      await t.expectLease("granted", t.read("a", "always"), "a lease for what is fresh");
    },
  },
  {
    title: "gives the lease to another when its holder is silent, and keeps nothing of the first then",
    check: async (t) => {
      const dead = await t.leased("a", "missing", { leaseMs: t.unitMs });
      await t.expectLease(
        "held",
        t.read("a", "missing", { holder: "two" }),
        "a lease before the end of the first",
      );
      await t.pass(1);
      const next = await t.leased("a", "missing", { holder: "two" });
      ensure(next > dead, "fences rise");
      await t.notFilled("a", dead, t.value("zombie"), "the load of the silent one");
      await t.filled("a", next, t.value("alive"), "the load of the other");
    },
  },
  {
    title: "prolongs a lease, unless it is gone",
    check: async (t) => {
      const fence = await t.leased("a", "missing", { leaseMs: 2 * t.unitMs });
      for (let unit = 0; unit < 3; unit += 1) {
        await t.pass(1);
        same(await t.region.renew("a", fence, 2 * t.unitMs), true, "renewing what is there");
      }
      await t.expectLease("held", t.read("a", "missing"), "a lease of what is prolonged");
      await t.leased("a", "always");
      same(await t.region.renew("a", fence, 2 * t.unitMs), false, "renewing what another has");
      same(await t.region.renew("b", fence, 2 * t.unitMs), false, "renewing what never was");
    },
  },
  {
    title: "frees a lease at once where nothing is, and pauses where something stale is",
    check: async (t) => {
      const fence = await t.leased("a");
      await t.region.release("a", fence - 1, 0);
      await t.expectLease("held", t.read("a", "missing"), "a lease after another was released");
      await t.region.release("a", fence, 3_600_000);
      await t.expectLease("granted", t.read("a", "missing"), "a lease after it was released");
      await t.notFilled("a", fence, t.value("late"), "a value under a released lease");

      await t.region.set("b", t.value("stale", { freshMs: t.unitMs / 10, lastMs: 3_600_000 }));
      await t.pass(0.1);
      await t.region.release("b", await t.leased("b"), t.unitMs);
      await t.expectLease("none", t.read("b", "missing"), "a lease during the pause");
      await t.expectLease("granted", t.read("b", "always"), "a lease in any case");
      await t.region.set("b", t.value("new", { freshMs: t.unitMs / 10, lastMs: 3_600_000 }));
      await t.pass(0.1);
      await t.expectLease("granted", t.read("b", "missing"), "a lease of a new value, which has no pause");
    },
  },
  {
    title: "ends a pause after its time",
    check: async (t) => {
      await t.region.set("a", t.value("stale", { freshMs: t.unitMs / 10, lastMs: 3_600_000 }));
      await t.pass(0.1);
      await t.region.release("a", await t.leased("a"), t.unitMs);
      await t.pass(1);
      await t.expectLease("granted", t.read("a", "missing"), "a lease after the pause");
    },
  },
];

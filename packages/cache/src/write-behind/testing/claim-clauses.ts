// Who writes: one at a time, for as long as the lease lasts.
import { ensure, present, same } from "@holdfast/core/testing";
import type { Clause } from "./trial.ts";

export const claimClauses: readonly Clause[] = [
  {
    title: "gives a key to one who asks, also when many ask at a time",
    check: async (t) => {
      for (let n = 0; n < 10; n += 1) await t.append(`k${n}`, "1");
      const all = await Promise.all(Array.from({ length: 8 }, () => t.claims({ limit: 5 })));
      const keys = all.flat().map(({ key }) => key);
      same(keys.length, new Set(keys).size, "keys that were given, and different ones");
      keys.push(...(await t.claims()).map(({ key }) => key));
      same(
        keys.toSorted(),
        Array.from({ length: 10 }, (_, n) => `k${n}`).toSorted(),
        "all keys that were given",
      );
    },
  },
  {
    title: "gives no more keys than are asked for, those that are due longest first",
    check: async (t) => {
      for (const key of ["a", "b", "c"]) {
        await t.append(key, "1");
        await t.advance(5);
      }
      const first = await t.claims({ limit: 2 });
      same(
        first.map(({ key }) => key),
        ["a", "b"],
        "the first two",
      );
      await t.claim("c");
    },
  },
  {
    title: "waits for the delay of the first write, which later ones do not make longer",
    check: async (t) => {
      await t.append("a", "1", { delayMs: 2 * t.unitMs });
      await t.nothingDue("before the delay is over");
      await t.advance(1.5 * t.unitMs);
      await t.append("a", "2", { delayMs: 2 * t.unitMs });
      await t.advance(0.5 * t.unitMs);
      same((await t.claim("a")).value, "2", "what is claimed after the delay");
    },
  },
  {
    title: "does not wait for delays when asked for what is early, but for waits after failures",
    check: async (t) => {
      await t.append("a", "1", { delayMs: 60_000 });
      await t.append("b", "1");
      await t.settled(await t.claim("b"), "failed", 60_000);
      await t.claim("a", { early: true });
      await t.nothingDue("while it waits after a failure", { early: true });
    },
  },
  {
    title: "tells how long until the next key is due",
    check: async (t) => {
      const none = await t.log.claim({ limit: 1, leaseMs: t.unitMs, early: false });
      same(none.nextInMs, undefined, "without any key");
      await t.append("a", "1", { delayMs: 60_000 });
      const delayed = await t.log.claim({ limit: 1, leaseMs: t.unitMs, early: false });
      const wait = present(delayed.nextInMs, "a time until the next");
      ensure(wait > 30_000 && wait <= 60_000, `${wait} ms are not what is left of a minute`);
      await t.append("b", "1");
      const leased = await t.log.claim({ limit: 5, leaseMs: 20_000, early: false });
      const lease = present(leased.nextInMs, "a time until the lease ends");
      ensure(lease > 5_000 && lease <= 20_000, `${lease} ms are not what is left of a lease of 20 s`);
    },
  },
  {
    title: "gives a key to another when the lease has run out, under a higher fence",
    check: async (t) => {
      await t.append("a", "1");
      const first = await t.claim("a");
      await t.nothingDue("while it is leased");
      await t.advance(t.unitMs);
      const second = await t.claim("a");
      ensure(second.fence > first.fence, `fence ${second.fence} is not above ${first.fence}`);
      same([second.value, second.attempt], ["1", 2], "what is taken over, and which attempt it is");
    },
  },
  {
    title: "refuses everything of one whose claim was taken over, and what it refuses changes nothing",
    check: async (t) => {
      await t.append("a", "1");
      const first = await t.claim("a");
      await t.advance(t.unitMs);
      const second = await t.claim("a", { leaseMs: 10 * t.unitMs });
      await t.refused(first, "after a takeover");
      await t.nothingDue("while it is another's");
      same(await t.log.read("a"), "1", "the write");
      await t.settled(second, "written");
      await t.refused(first, "after the other has written");
      await t.refused(second, "after it was settled");
    },
  },
  {
    title: "lets a claim that ran out and that nobody has taken end as if it had not",
    check: async (t) => {
      await t.append("a", "1");
      const claim = await t.claim("a");
      await t.advance(t.unitMs);
      same(await t.log.renew([claim], t.unitMs), ["ok"], "a renewal");
      await t.nothingDue("after the renewal");
      await t.advance(t.unitMs);
      await t.settled(claim, "written");
      await t.holds(0, 0, "after it was written");
    },
  },
  {
    title: "makes leases last as long as they are renewed",
    check: async (t) => {
      for (const key of ["a", "b"]) await t.append(key, "1");
      const claims = await t.claims({ leaseMs: 2 * t.unitMs });
      await t.advance(t.unitMs);
      same(await t.log.renew(claims, 3 * t.unitMs), ["ok", "ok"], "renewals");
      await t.advance(1.5 * t.unitMs);
      await t.nothingDue("while the leases are renewed");
      await t.advance(1.5 * t.unitMs);
      same((await t.claims()).length, 2, "keys that are claimed after the leases");
    },
  },
  {
    title: "gives rising fences to a key, also after it was written and is written again",
    check: async (t) => {
      let fence = 0;
      for (let round = 0; round < 5; round += 1) {
        await t.append("a", `${round}`);
        const claim = await t.claim("a");
        ensure(claim.fence > fence, `fence ${claim.fence} is not above ${fence}`);
        ensure(Number.isSafeInteger(claim.fence), `fence ${claim.fence} is no safe integer`);
        fence = claim.fence;
        await t.settled(claim, "written");
      }
    },
  },
];

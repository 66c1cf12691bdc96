// What becomes of a claim: written, tried again, given up, given back; and of what came meanwhile.
import { ensure, present, same } from "@holdfast/core/testing";
import type { Clause } from "./trial.ts";

export const settleClauses: readonly Clause[] = [
  {
    title: "keeps what was written while a claim was under way, and never gives it out beside the claim",
    check: async (t) => {
      await t.append("a", "1");
      const first = await t.claim("a");
      const version = await t.append("a", "2", { delayMs: 60_000 });
      same(await t.log.read("a"), "2", "what is read");
      await t.nothingDue("while the older one is written", { early: true });
      await t.settled(first, "written");
      const second = await t.claim("a");
      same([second.value, second.version, second.attempt], ["2", version, 1], "what is claimed next");
      ensure(second.fence > first.fence, "its fence is higher");
      await t.settled(second, "written");
      await t.holds(0, 0, "after both were written");
    },
  },
  {
    title: "gives what failed out again after its wait, and counts attempts",
    check: async (t) => {
      await t.append("a", "1");
      const first = await t.claim("a");
      await t.settled(first, "failed", t.unitMs);
      same(await t.log.read("a"), "1", "what is read while it waits");
      await t.nothingDue("before its wait is over");
      await t.refused(first, "after it was settled");
      await t.advance(t.unitMs);
      same((await t.claim("a")).attempt, 2, "the attempt");
    },
  },
  {
    title: "does not count attempts that do not count",
    check: async (t) => {
      await t.append("a", "1");
      await t.settled(await t.claim("a"), "failed");
      const { key, fence, version, attempt } = await t.claim("a");
      same(attempt, 2, "the second attempt");
      await t.log.settle([{ key, fence, version, kind: "failed", delayMs: 0, counts: false, error: "down" }]);
      const again = await t.claim("a");
      same(again.attempt, 2, "the attempt after one that did not count");
      await t.settled(again, "released");
      same((await t.claim("a")).attempt, 2, "the attempt after one that was given back");
    },
  },
  {
    title: "counts attempts anew for a newer value, which waits as long as the older one would have",
    check: async (t) => {
      await t.append("a", "1");
      await t.settled(await t.claim("a"), "failed", 2 * t.unitMs);
      await t.append("a", "2");
      await t.nothingDue("while it waits after a failure", { early: true });
      await t.advance(2 * t.unitMs);
      const claim = await t.claim("a");
      same([claim.value, claim.attempt], ["2", 1], "what is claimed");
      await t.append("a", "3");
      await t.settled(claim, "failed", 0);
      same((await t.claim("a")).attempt, 1, "the attempt of what came while the older one failed");
    },
  },
  {
    title: "gives what was given back out at once",
    check: async (t) => {
      await t.append("a", "1", { delayMs: 60_000 });
      await t.settled(await t.claim("a", { early: true }), "released");
      same((await t.claim("a")).attempt, 1, "the attempt");
    },
  },
  {
    title: "settles each of several alone",
    check: async (t) => {
      for (const key of ["a", "b", "c", "d"]) await t.append(key, "1");
      const claims = await t.claims();
      const [a, b, c, d] = ["a", "b", "c", "d"].map((key) =>
        present(
          claims.find((claim) => claim.key === key),
          key,
        ),
      );
      const outcomes = await t.log.settle([
        { key: "a", fence: a!.fence, version: a!.version, kind: "written" },
        { key: "b", fence: b!.fence - 1, version: b!.version, kind: "written" },
        {
          key: "c",
          fence: c!.fence,
          version: c!.version,
          kind: "failed",
          delayMs: 0,
          counts: true,
          error: "no",
        },
        { key: "d", fence: d!.fence, version: d!.version, kind: "dead", error: "never" },
      ]);
      same(outcomes, ["ok", "lost", "ok", "ok"], "the outcomes");
      await t.holds(2, 1, "afterwards");
      await t.claim("c");
      same(await t.log.settle([]), [], "the outcomes of none");
      same(await t.log.renew([], t.unitMs), [], "the renewals of none");
    },
  },
  {
    title:
      "tells since when the source lacks something: what was superseded counts until what took its place is there",
    check: async (t) => {
      same((await t.log.stats()).oldest, undefined, "the oldest of none");
      const first = await t.append("a", "1");
      await t.append("b", "1");
      await t.append("a", "2");
      const { latest } = await t.log.stats();
      same((await t.log.stats()).oldest, first, "the oldest after three appends");
      const claims = await t.claims();
      const a = present(
        claims.find(({ key }) => key === "a"),
        "a claim of a",
      );
      const later = await t.append("a", "3");
      await t.settled(a, "written");
      const b = present(
        claims.find(({ key }) => key === "b"),
        "a claim of b",
      );
      same((await t.log.stats()).oldest, b.version, "the oldest once the first was written");
      await t.settled(b, "written");
      same((await t.log.stats()).oldest, later, "the oldest once both were written");
      ensure(later > latest, "what comes later is above the latest");
    },
  },
];

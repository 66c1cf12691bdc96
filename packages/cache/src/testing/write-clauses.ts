// While the source is changed, nobody's load is kept; and of writes that overlap, none is.
import { same } from "@holdfast/core/testing";
import type { Clause, Trial } from "./trial.ts";

const HOUR_MS = 3_600_000;

async function ends(
  t: Trial,
  fence: number,
  payload: string | undefined,
  isKept: boolean,
  what: string,
): Promise<void> {
  const value = payload === undefined ? undefined : t.value(payload, { tags: ["x"] });
  same(await t.region.endWrite("a", fence, value), isKept, what);
}

export const writeClauses: readonly Clause[] = [
  {
    title: "keeps what was written, and serves what was there until then",
    check: async (t) => {
      await t.region.set("a", t.value("old"));
      const fence = await t.region.beginWrite("a", HOUR_MS);
      await t.expectValue("a", "old", "what is there while it is written");
      await ends(t, fence, "new", true, "a write on its own");
      await t.expectValue("a", "new", "what was written");
    },
  },
  {
    title: "takes leases away, and gives none until the write has ended",
    check: async (t) => {
      const before = await t.leased("a");
      const fence = await t.region.beginWrite("a", HOUR_MS);
      await t.notFilled("a", before, t.value("old"), "a load from before the write");
      for (const kind of ["missing", "always"] as const)
        await t.expectLease("writing", t.read("a", kind), `a lease during the write: ${kind}`);
      await ends(t, fence, undefined, false, "a write that is in doubt");
      await t.expectNothing("a", "what is there");
      await t.expectLease("granted", t.read("a", "missing"), "a lease after it");
    },
  },
  {
    title: "leaves nothing of writes that overlap, whichever ends first",
    check: async (t) => {
      for (const order of [
        [0, 1],
        [1, 0],
      ] as const) {
        await t.region.set("a", t.value("old"));
        const fences = [await t.region.beginWrite("a", HOUR_MS), await t.region.beginWrite("a", HOUR_MS)];
        await ends(t, fences[order[0]]!, "first", false, "the first to end");
        await t.expectLease("writing", t.read("a", "missing"), "a lease while the other goes on");
        await ends(t, fences[order[1]]!, "second", false, "the second to end");
        await t.expectNothing("a", "what is there");
      }
    },
  },
  {
    title: "leaves nothing of a write that was overlapped by anything else",
    check: async (t) => {
      const changes = {
        "an invalidation": () => t.region.invalidate("a"),
        "an invalidation of its tag": () => t.region.invalidateTag("x"),
        "a clear": () => t.region.clear(),
        "a set": () => t.region.set("a", t.value("set")),
      };
      for (const [what, change] of Object.entries(changes)) {
        const fence = await t.region.beginWrite("a", HOUR_MS);
        await change();
        await ends(t, fence, "written", false, `a write with ${what} in it`);
        await t.expectNothing("a", `after a write with ${what} in it`);
      }
    },
  },
  {
    title: "removes what a silent writer may have changed, and keeps nothing of it",
    check: async (t) => {
      await t.region.set("a", t.value("old"));
      const fence = await t.region.beginWrite("a", t.unitMs);
      await t.pass(1);
      await t.expectNothing("a", "what the source may no longer have");
      const load = await t.leased("a");
      await ends(t, fence, "zombie", false, "a write after its time");
      await t.notFilled("a", load, t.value("old"), "a load that may have been before it");
      await t.expectNothing("a", "what is there");
    },
  },
  {
    title: "lets a slow writer go on for as long as it is heard of",
    check: async (t) => {
      const fence = await t.region.beginWrite("a", 2 * t.unitMs);
      for (let unit = 0; unit < 3; unit += 1) {
        await t.pass(1);
        same(await t.region.renew("a", fence, 2 * t.unitMs), true, "renewing a write");
      }
      await ends(t, fence, "slow", true, "a slow write");
      same(await t.region.renew("a", fence, t.unitMs), false, "renewing a write that has ended");
    },
  },
];

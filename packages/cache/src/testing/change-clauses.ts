// What others are told of what has changed.
import { ensure, same } from "@holdfast/core/testing";
import type { Clause } from "./trial.ts";

export const changeClauses: readonly Clause[] = [
  {
    title: "tells who asks for the first time that anything may have changed",
    check: async (t) => {
      await t.region.set("a", t.value("a"));
      const { isReset, keys, tags } = await t.region.changes(undefined);
      same([isReset, keys, tags], [true, [], []], "the first answer");
    },
  },
  {
    title: "tells each change once, keys with their versions",
    check: async (t) => {
      const start = await t.region.changes(undefined);
      const version = await t.region.set("a", t.value("a"));
      await t.region.invalidateTag("x");
      const first = await t.told(start);
      same([first.keys, first.tags], [[["a", version]], ["x"]], "a set and a tag");
      await t.region.invalidate("b");
      const second = await t.told(first);
      same([second.keys.map(([id]) => id), second.tags], [["b"], []], "an invalidation");
      ensure(second.keys[0]![1] > version, "it has a higher version");
      const third = await t.told(second);
      same([third.keys, third.tags], [[], []], "nothing since");
    },
  },
  {
    title: "tells writes when they have ended, and no loads",
    check: async (t) => {
      const start = await t.region.changes(undefined);
      const fence = await t.region.beginWrite("a", 3_600_000);
      await t.filled("b", await t.leased("b"), t.value("b"), "a load");
      const during = await t.told(start);
      same(during.keys, [], "what has changed while it is written");
      await t.region.endWrite("a", fence, t.value("a"));
      const after = await t.told(during);
      same(
        after.keys.map(([id]) => id),
        ["a"],
        "what has changed then",
      );
      same(after.keys[0]![1], (await t.entry("a")).version, "the version that is there");
    },
  },
  {
    title: "tells of a clear that anything may have changed, once",
    check: async (t) => {
      const start = await t.region.changes(undefined);
      await t.region.clear();
      const cleared = await t.region.changes(start.cursor);
      same(cleared.isReset, true, "the answer after a clear");
      same((await t.told(cleared)).keys, [], "the one after it");
    },
  },
  {
    title: "tells all of many changes, or that anything may have changed",
    check: async (t) => {
      const start = await t.region.changes(undefined);
      const ids = Array.from({ length: 2_500 }, (_, index) => `k${index}`);
      await Promise.all(ids.map((id) => t.region.invalidate(id)));
      const { isReset, keys } = await t.region.changes(start.cursor);
      ensure(isReset || new Set(keys.map(([id]) => id)).size === ids.length, "no change is left out");
    },
  },
];

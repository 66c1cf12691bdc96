// What was loaded before an invalidation is not there after it.
import { same } from "@holdfast/core/testing";
import type { Clause } from "./trial.ts";

export const invalidationClauses: readonly Clause[] = [
  {
    title: "removes a key and nothing else",
    check: async (t) => {
      for (const id of ["a", "b"]) await t.region.set(id, t.value(id));
      await t.region.invalidate("a");
      await t.expectNothing("a", "what was invalidated");
      await t.expectValue("b", "b", "what was not");
      await t.region.invalidate("never there");
    },
  },
  {
    title: "keeps nothing that was loaded before the key was invalidated or set",
    check: async (t) => {
      const first = await t.leased("a");
      await t.region.invalidate("a");
      await t.notFilled("a", first, t.value("old"), "a load from before an invalidation");
      await t.expectNothing("a", "what is there");
      const second = await t.leased("a");
      await t.region.set("a", t.value("set"));
      await t.notFilled("a", second, t.value("old"), "a load from before a set");
      await t.expectValue("a", "set", "what is there");
    },
  },
  {
    title: "removes what depends on a tag, and nothing else",
    check: async (t) => {
      await t.region.set("a", t.value("a", { tags: ["x", "y"] }));
      await t.region.set("b", t.value("b", { tags: ["y"] }));
      await t.region.set("c", t.value("c"));
      await t.region.invalidateTag("x");
      await t.expectNothing("a", "what depends on it");
      await t.expectValue("b", "b", "what depends on another");
      await t.expectValue("c", "c", "what depends on none");
      await t.region.set("a", t.value("new", { tags: ["x", "y"] }));
      await t.expectValue("a", "new", "what was set after it");
      await t.region.invalidateTag("y");
      for (const id of ["a", "b"]) await t.expectNothing(id, "what depends on the other");
    },
  },
  {
    title: "keeps nothing that was loaded before one of its tags was invalidated",
    check: async (t) => {
      const fence = await t.leased("a");
      await t.region.invalidateTag("x");
      await t.notFilled("a", fence, t.value("old", { tags: ["y", "x"] }), "a load from before");
      await t.expectNothing("a", "what is there");
      await t.filled("a", await t.leased("a"), t.value("new", { tags: ["y", "x"] }), "a load from after");
      const other = await t.leased("b");
      await t.region.invalidateTag("x");
      await t.filled("b", other, t.value("b", { tags: ["y"] }), "a load of what does not depend on it");
    },
  },
  {
    title: "takes tags for the same only if they are",
    check: async (t) => {
      const tags = ["x", "X", "xy", "x,y", "", "__proto__", "😀", "!clear", "!floor"].filter(
        (tag) => tag !== "",
      );
      for (const tag of tags) await t.region.set(tag, t.value(tag, { tags: [tag] }));
      for (const [index, tag] of tags.entries()) {
        await t.region.invalidateTag(tag);
        await t.expectNothing(tag, `what depends on ${tag}`);
        for (const rest of tags.slice(index + 1))
          await t.expectValue(rest, rest, `after ${tag}, what depends on ${rest}`);
      }
    },
  },
  {
    title: "removes everything, and what is loaded meanwhile",
    check: async (t) => {
      for (const id of ["a", "b"]) await t.region.set(id, t.value(id, { tags: [id] }));
      const fence = await t.leased("c");
      await t.region.clear();
      for (const id of ["a", "b"]) await t.expectNothing(id, "what was there");
      const next = await t.leased("c");
      await t.notFilled("c", fence, t.value("old"), "a load from before");
      await t.filled("c", next, t.value("new"), "a load from after");
      await t.expectValue("c", "new", "what is there");
    },
  },
  {
    title: "leaves other regions alone",
    check: async (t) => {
      const other = t.openRegion();
      await other.set("a", t.value("a", { tags: ["x"] }));
      await t.region.invalidate("a");
      await t.region.invalidateTag("x");
      await t.region.clear();
      const read = {
        id: "a",
        have: 0,
        leaseMs: 1,
        lease: "never",
        idleMs: Infinity,
        holder: "",
        instead: 0,
      } as const;
      same((await other.read(read)).entry?.payload, "a", "what another region has");
    },
  },
];

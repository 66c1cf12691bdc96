// What is kept is what is read, for its time.
import { ensure, same } from "@holdfast/core/testing";
import type { Clause } from "./trial.ts";

export const valueClauses: readonly Clause[] = [
  {
    title: "reads nothing where nothing is, and gives no lease that is not asked for",
    check: async (t) => {
      same(await t.read("a"), { entry: undefined, lease: { kind: "none" } }, "a reading of nothing");
    },
  },
  {
    title: "reads what was set, with its tags and times",
    check: async (t) => {
      const version = await t.region.set("a", t.value("text", { tags: ["x", "y"], loadMs: 7 }));
      const entry = await t.entry("a");
      same(
        [entry.payload, entry.tags, entry.loadMs],
        ["text", ["x", "y"], 7],
        "payload, tags, time of loading",
      );
      same([entry.version, entry.isSame], [version, false], "its version");
      same(entry.freshMs, 3_600_000, "how long it is fresh in all");
      ensure(
        entry.freshForMs > 3_000_000 && entry.freshForMs <= 3_600_000,
        "how long it is fresh from now on",
      );
    },
  },
  {
    title: "does not send again what the reader has",
    check: async (t) => {
      const version = await t.region.set("a", t.value("text", { tags: ["x"] }));
      const { entry } = await t.read("a", "never", { have: version });
      same([entry?.isSame, entry?.payload, entry?.tags], [true, undefined, []], "a reading of what is known");
      const { entry: other } = await t.read("a", "never", { have: version + 1 });
      same([other?.isSame, other?.payload], [false, "text"], "a reading with another version");
    },
  },
  {
    title: "tells nothing from an empty text",
    check: async (t) => {
      await t.region.set("none", t.value(undefined));
      await t.region.set("empty", t.value(""));
      same((await t.entry("none")).payload, undefined, "the payload where there is none");
      same((await t.entry("empty")).payload, "", "an empty payload");
      await t.region.set("empty", t.value(undefined));
      same((await t.entry("empty")).payload, undefined, "nothing that has replaced a text");
    },
  },
  {
    title: "gives each value a higher version than the one before",
    check: async (t) => {
      const versions = [await t.region.set("a", t.value("1")), await t.leased("a", "always")];
      await t.filled("a", versions[1]!, t.value("2"), "a load");
      versions.push((await t.entry("a")).version, await t.region.set("a", t.value("3")));
      same(
        versions,
        versions.toSorted((one, two) => one - two),
        "versions in the order of their values",
      );
      same(versions[1], versions[2], "the version of what was loaded, and its fence");
      ensure(versions[3]! > versions[2]!, "a set has a higher version than what it replaces");
    },
  },
  {
    title: "keeps texts and keys as they are, however strange or long",
    check: async (t) => {
      const ids = ["__proto__", "a:b", "a\0b", "ä€😀", "\ud800", "\udc00", "{x}", " ", "x".repeat(4_096)];
      for (const [index, id] of ids.entries()) await t.region.set(id, t.value(`of ${index} ä€😀\0`));
      for (const [index, id] of ids.entries())
        await t.expectValue(id, `of ${index} ä€😀\0`, JSON.stringify(id));
      await t.region.set("long", t.value("x".repeat(1_000_000)));
      same((await t.entry("long")).payload?.length, 1_000_000, "the length of a long text");
    },
  },
  {
    title: "keeps regions apart, and one region together however often it is opened",
    check: async (t) => {
      const name = `trial-${crypto.randomUUID()}`;
      const [one, two] = [t.store.open(name), t.store.open(name)];
      const read = {
        id: "a",
        have: 0,
        leaseMs: 1,
        lease: "never",
        idleMs: Infinity,
        holder: "",
        instead: 0,
      } as const;
      await one.set("a", t.value("one"));
      same((await two.read(read)).entry?.payload, "one", "what the same region has");
      await t.expectNothing("a", "what another region has");
    },
  },
  {
    title: "says how stale a value is, and drops it at its end",
    check: async (t) => {
      await t.region.set("a", t.value("old", { freshMs: t.unitMs, lastMs: 3 * t.unitMs }));
      ensure((await t.entry("a")).freshForMs > 0, "it is fresh at first");
      await t.pass(1.5);
      const { freshForMs } = await t.entry("a");
      ensure(freshForMs < 0 && freshForMs >= -2 * t.unitMs, `it is stale then: ${freshForMs}`);
      await t.pass(1.5);
      await t.expectNothing("a", "what is over");
      await t.region.set("b", t.value("none of it", { freshMs: 0, lastMs: 0 }));
      await t.expectNothing("b", "what was to be kept for no time");
    },
  },
  {
    title: "drops what was to last for no time in place of what was there",
    check: async (t) => {
      await t.region.set("a", t.value("old"));
      const fence = await t.leased("a", "always");
      await t.filled("a", fence, t.value(undefined, { freshMs: 0, lastMs: 0 }), "a load of nothing");
      await t.expectNothing("a", "what was there before");
    },
  },
  {
    title: "drops what nobody has read for its idle time, and keeps what is read",
    check: async (t) => {
      await t.region.set("read", t.value("read"));
      await t.region.set("idle", t.value("idle"));
      const idleMs = 2 * t.unitMs;
      for (const id of ["read", "idle"]) await t.read(id, "never", { idleMs });
      for (let unit = 0; unit < 3; unit += 1) {
        await t.pass(1);
        same((await t.read("read", "never", { idleMs })).entry?.payload, "read", "what is read all the time");
      }
      await t.expectNothing("idle", "what nobody has read");
    },
  },
];

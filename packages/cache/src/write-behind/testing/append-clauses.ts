// What is kept: the newest write of each key, until the source has it.
import { ensure, same } from "@holdfast/core/testing";
import type { Clause } from "./trial.ts";

/** Keys that could pass for one another, or for something else. */
const ODD_KEYS: readonly string[] = [
  "a",
  "a:b",
  "{a}",
  "}{",
  "%",
  "'",
  "\\",
  "\n",
  "\u0001",
  "__proto__",
  "constructor",
  "1",
  "01",
  " ",
  "ä",
  "a\u0308",
  "\u{1F600}",
  "x".repeat(4_096),
  `${"x".repeat(4_095)}y`,
];

export const appendClauses: readonly Clause[] = [
  {
    title: "reads what was appended, at once and before it is due",
    check: async (t) => {
      same(await t.log.read("a"), undefined, "a key that was never written");
      await t.append("a", "1", { delayMs: t.unitMs });
      same(await t.log.read("a"), "1", "a key that was written");
      await t.append("a", "2");
      same(await t.log.read("a"), "2", "a key that was written again");
      same(await t.log.read("b"), undefined, "another key");
    },
  },
  {
    title: "keeps every key apart, whatever characters it is made of",
    check: async (t) => {
      for (const [index, key] of ODD_KEYS.entries()) await t.append(key, `${index}${key}`);
      for (const [index, key] of ODD_KEYS.entries())
        same(await t.log.read(key), `${index}${key}`, JSON.stringify(key.slice(0, 20)));
      const claims = await t.claims();
      same(claims.map(({ key }) => key).sort(), [...ODD_KEYS].sort(), "the keys that are claimed");
    },
  },
  {
    title: "keeps values of any size",
    check: async (t) => {
      for (const [key, size] of [
        ["none", 0],
        ["large", 2 ** 20],
      ] as const) {
        const value = "ü".repeat(size);
        await t.append(key, value);
        ensure((await t.log.read(key)) === value, `a value of ${size} characters`);
        ensure((await t.claim(key)).value === value, `a claim of ${size} characters`);
      }
    },
  },
  {
    title: "gives every append a higher version, also when many come at a time",
    check: async (t) => {
      const versions = [await t.append("a", "1"), await t.append("b", "1"), await t.append("a", "2")];
      const many = await Promise.all(Array.from({ length: 20 }, (_, n) => t.append("c", `${n}`)));
      const last = await t.append("a", "3");
      const sorted = [...versions, ...many.toSorted((a, b) => a - b), last];
      same(new Set(sorted).size, 24, "different versions");
      same(
        sorted,
        sorted.toSorted((a, b) => a - b),
        "versions in the order of the appends",
      );
      const { latest } = await t.log.stats();
      ensure(latest >= last, "the latest version is not below that of an append");
      const winner = many.indexOf(Math.max(...many));
      same(await t.log.read("c"), `${winner}`, "what is read of a key that many have written: the highest");
    },
  },
  {
    title: "takes a newer write in place of an older one, and is given it as one claim",
    check: async (t) => {
      await t.append("a", "1");
      const version = await t.append("a", "2");
      const claim = await t.claim("a");
      same([claim.value, claim.version, claim.attempt], ["2", version, 1], "what is claimed");
      await t.settled(claim, "written");
      same(await t.log.read("a"), undefined, "a key that the source has");
      await t.holds(0, 0, "after all was written");
      await t.nothingDue("after all was written");
    },
  },
  {
    title: "is full at its bound, which keys that are there may still be written at",
    check: async (t) => {
      const maxKeys = 3;
      for (const key of ["a", "b", "c"]) await t.append(key, "1", { maxKeys });
      const refused = await t.log.append({ key: "d", value: "1", delayMs: 0, maxKeys });
      same(refused, { kind: "full", keys: 3 }, "an append of one more key");
      same(await t.log.read("d"), undefined, "a key that was refused");
      await t.append("a", "2", { maxKeys });
      const [first, ...rest] = await t.claims();
      await t.append("b", "2", { maxKeys });
      await t.settled(first!, "written");
      await t.append("d", "1", { maxKeys });
      ensure(rest.length === 2, "all that was kept was claimed");
    },
  },
  {
    title: "counts dead letters against the bound",
    check: async (t) => {
      await t.kill("a");
      const refused = await t.log.append({ key: "b", value: "1", delayMs: 0, maxKeys: 1 });
      same(refused.kind, "full", "an append beside a dead letter");
      await t.append("a", "2", { maxKeys: 1 });
    },
  },
];

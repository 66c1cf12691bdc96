// What counts together, and what does not.
import { same } from "@holdfast/core/testing";
import { fixedWindow } from "../limits/fixed-window.ts";
import { tokenBucket } from "../limits/token-bucket.ts";
import type { Clause } from "./trial.ts";

/** Keys that could pass for one another, or for something else. */
const ODD_KEYS: readonly string[] = [
  "a",
  "a:b",
  "a:b:c",
  "{a}",
  "{",
  "}",
  "{}a",
  "a{b}c",
  "\0",
  "a\0",
  "\r\n",
  "*",
  "__proto__",
  "constructor",
  "toString",
  "1",
  "01",
  "ä",
  "a\u0308",
  "\u{1F600}",
  "\uD800",
  " a",
  "x".repeat(511),
  "x".repeat(512),
];

export const keyClauses: readonly Clause[] = [
  {
    title: "counts every key apart, whatever characters it is made of",
    check: async (t) => {
      const { book } = t.bucket(1);
      for (const key of ODD_KEYS) await book.allowed(1, key, `the first take of ${JSON.stringify(key)}`);
      for (const key of ODD_KEYS) await book.refused(1, key, `the second take of ${JSON.stringify(key)}`);
    },
  },
  {
    title: "counts ledgers of the same name together, and of other names apart",
    check: async (t) => {
      const limit = tokenBucket({ capacity: 2, refill: 1, per: "1h" });
      const name = `trial-${crypto.randomUUID()}`;
      await t.openAs(name, limit).allowed();
      const again = t.openAs(name, limit);
      await again.allowed();
      await again.refused();
      await t.openAs(`${name}.2`, limit).allowed(2);
    },
  },
  {
    title: "counts each limit by what it is told to",
    check: async (t) => {
      const book = t.open(
        tokenBucket({ name: "user", by: "user", capacity: 2, refill: 1, per: "1h" }),
        fixedWindow({ name: "tenant", by: "tenant", limit: 3, window: "366d" }),
      );
      await book.allowed(2, { user: "1", tenant: "acme" });
      same((await book.refused(1, { user: "1", tenant: "acme" })).limit.name, "user", "who refuses user 1");
      await book.allowed(1, { user: "2", tenant: "acme" });
      same((await book.refused(1, { user: "2", tenant: "acme" })).limit.name, "tenant", "who refuses user 2");
      await book.allowed(1, { user: "2", tenant: "other" });
      await book.expectLeft([2, 0], "of user 3, of whom nothing was taken", { user: "3", tenant: "acme" });
    },
  },
  {
    title: "does not take one limit's keys for another's",
    check: async (t) => {
      const book = t.open(
        tokenBucket({ name: "a", by: "x", capacity: 1, refill: 1, per: "1h" }),
        tokenBucket({ name: "b", by: "y", capacity: 1, refill: 1, per: "1h" }),
      );
      await book.allowed(1, { x: "same", y: "same" });
      await book.expectLeft([0, 1], "of x that has taken and y that has not", { x: "same", y: "other" });
    },
  },
];

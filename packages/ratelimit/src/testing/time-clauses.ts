// What comes back by itself: after the time that was told, and not before.
import { ensure, same } from "@holdfast/core/testing";
import { concurrency } from "../limits/concurrency.ts";
import { fixedWindow } from "../limits/fixed-window.ts";
import { gcra } from "../limits/gcra.ts";
import { slidingLog } from "../limits/sliding-log.ts";
import { tokenBucket } from "../limits/token-bucket.ts";
import type { Clause } from "./trial.ts";

export const timeClauses: readonly Clause[] = [
  {
    title: "allows after the time that a refusal has told, whatever the algorithm",
    check: (t) =>
      t.each(t.passing(4), async (book, limit) => {
        await book.allowed(4);
        const { retryAfterMs } = await book.refused(3);
        ensure(
          retryAfterMs <= 2 * t.unitMs,
          `${limit.algorithm}: nobody waits ${retryAfterMs} ms for what is back after ${t.unitMs} ms`,
        );
        await t.advance(retryAfterMs);
        await book.allowed(3, "key", `a take ${retryAfterMs} ms after a refusal`);
      }),
  },
  {
    title: "refuses a millisecond before the time that it has told, and tells the rest of it",
    exact: true,
    check: (t) =>
      t.each(t.passing(4), async (book) => {
        await book.allowed(4);
        const { retryAfterMs } = await book.refused(3);
        await t.advance(retryAfterMs - 1);
        same((await book.refused(3)).retryAfterMs, 1, "what is left to wait");
        await t.advance(1);
        await book.allowed(3);
      }),
  },
  {
    title: "a refusal does not make anybody wait longer",
    exact: true,
    check: (t) =>
      t.each(t.passing(2), async (book) => {
        await book.allowed(2);
        const { retryAfterMs } = await book.refused(1);
        for (let waited = 1; waited < retryAfterMs; waited += Math.ceil(retryAfterMs / 7))
          await book.refused(1);
        await t.advance(retryAfterMs);
        await book.allowed(1);
      }),
  },
  {
    title: "is as if nothing had been taken after the time that it has told for that",
    check: (t) =>
      t.each(t.passing(4), async (book) => {
        const { resetMs } = await book.allowed(3);
        await t.advance(resetMs);
        await book.expectLeft([4], `${resetMs} ms after a take`);
        await book.allowed(4);
      }),
  },
  {
    title: "has more left after the time that it has told for that, and not before",
    exact: true,
    check: (t) =>
      t.each(t.passing(4), async (book) => {
        const { remaining, growsInMs } = await book.allowed(3);
        await t.advance(growsInMs - 1);
        await book.expectLeft([remaining], "a millisecond before");
        await t.advance(1);
        ensure((await book.left())[0]! > remaining, `more is left after ${growsInMs} ms`);
      }),
  },
  {
    title: "a token bucket fills evenly, up to its capacity, and starts full",
    exact: true,
    check: async (t) => {
      const book = t.open(tokenBucket({ capacity: 10, refill: 2, per: "1s" }));
      await book.allowed(10);
      await t.advance(499);
      await book.refused(1);
      await t.advance(1);
      await book.allowed(1);
      await t.advance(60_000);
      await book.expectLeft([10], "after a minute");
    },
  },
  {
    title: "an uneven rate does not drift",
    exact: true,
    check: async (t) => {
      // 7 in a second is one in 142.857142… ms: after any whole number of seconds it is exact again.
      const book = t.open(tokenBucket({ capacity: 7, refill: 7, per: "1s" }));
      await book.allowed(7);
      for (let second = 0; second < 50; second += 1) {
        for (let part = 0; part < 7; part += 1) {
          await t.advance(143 - (part === 6 ? 1 : 0));
          await book.allowed(1, "key", `take ${part} of second ${second}`);
        }
        await book.refused(1);
      }
    },
  },
  {
    title: "counts over a month without losing any of it",
    exact: true,
    check: async (t) => {
      const book = t.open(
        tokenBucket({ name: "monthly", capacity: 1_000_000, refill: 1_000_000, per: "30d" }),
        fixedWindow({ name: "yearly", limit: 10, window: "366d" }),
      );
      await book.allowed({ monthly: 1_000_000, yearly: 0 });
      // 25 days are more milliseconds than 31 bits hold.
      await t.advance(25 * 86_400_000);
      same((await book.left())[0], Math.floor((25 * 1_000_000) / 30), "what is back after 25 days");
      await t.advance(5 * 86_400_000);
      same((await book.left())[0], 1_000_000, "what is back after 30 days");
    },
  },
  {
    title: "a thousand and more in a second come one by one",
    exact: true,
    check: async (t) => {
      const book = t.open(gcra({ rate: 4_000, per: "1s", burst: 4 }));
      for (let ms = 0; ms < 20; ms += 1) {
        await book.allowed(4);
        await book.refused(1);
        await t.advance(1);
      }
    },
  },
  {
    title: "an exact window forgets each take when it is as old as the window",
    exact: true,
    check: async (t) => {
      const book = t.open(slidingLog({ limit: 3, window: 900 }));
      for (let take = 0; take < 3; take += 1) {
        await book.allowed(1);
        await t.advance(300);
      }
      await book.allowed(1);
      await book.refused(1);
      await t.advance(299);
      await book.refused(1);
      await t.advance(1);
      await book.allowed(1);
    },
  },
  {
    title: "a place is another's when its lease has run out, unless it was renewed",
    leases: true,
    check: async (t) => {
      const book = t.open(concurrency({ limit: 2, lease: t.unitMs }));
      const kept = await book.allowed();
      await t.advance(t.unitMs / 2);
      await book.allowed();
      await book.refused();
      same(await book.ledger.renew(book.call(), kept.marks), true, "a renewal in time");
      await t.advance(t.unitMs / 2);
      await book.refused(1, "key", "a take while one is renewed and one is half over");
      await t.advance(t.unitMs / 2);
      same(await book.ledger.renew(book.call(), kept.marks), false, "a renewal after the lease");
      await book.allowed(2);
    },
  },
];

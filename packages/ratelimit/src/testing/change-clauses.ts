// What a caller changes besides taking: refunds, blocks, resets.
import { ensure, same } from "@holdfast/core/testing";
import { concurrency } from "../limits/concurrency.ts";
import { fixedWindow } from "../limits/fixed-window.ts";
import { slidingLog } from "../limits/sliding-log.ts";
import { tokenBucket } from "../limits/token-bucket.ts";
import type { Clause } from "./trial.ts";

export const changeClauses: readonly Clause[] = [
  {
    title: "a refund gives back what was taken, of every limit",
    check: (t) =>
      t.each(t.lasting(4), async (book) => {
        await book.allowed(1);
        const taken = await book.allowed(3);
        await book.refused(1);
        await book.refund(taken, 2);
        await book.expectLeft([2], "after a refund of 2 of 3");
        await book.refund(taken, 1);
        await book.expectLeft([3], "after a refund of the rest");
      }),
  },
  {
    title: "a refund never leaves more than the quota",
    check: (t) =>
      t.each(t.lasting(4), async (book) => {
        const taken = await book.allowed(2);
        await book.refund(taken, 4);
        await book.refund(taken, 4);
        await book.expectLeft([4], "after too large a refund");
        await book.allowed(4);
        await book.refused(1);
      }),
  },
  {
    title: "a refund of what has come back by itself gives nothing",
    check: (t) =>
      t.each(t.passing(4), async (book) => {
        const old = await book.allowed(4);
        await t.advance(old.resetMs);
        await book.allowed(4);
        await book.refund(old, 4);
        const left = (await book.left())[0]!;
        ensure(left < 4, `what was taken since then stays taken; ${left} of 4 are left`);
      }),
  },
  {
    title: "a refund of a window that is over does not count for the one after it",
    exact: true,
    check: async (t) => {
      const book = t.open(fixedWindow({ limit: 4, window: "1m" }));
      const old = await book.allowed(4);
      await t.advance(old.resetMs);
      await book.allowed(4);
      await book.refund(old, 4);
      await book.refused(1);
    },
  },
  {
    title: "a refund of a bucket gives back what has not drained yet",
    exact: true,
    check: async (t) => {
      const book = t.open(tokenBucket({ capacity: 10, refill: 1, per: "1s" }));
      const taken = await book.allowed(10);
      await t.advance(4_000);
      await book.allowed(4);
      await book.refund(taken, 10);
      await book.expectLeft([6], "10 taken, 4 back and taken again, 6 given back");
    },
  },
  {
    title: "a refund of an exact window gives back that take and no other",
    exact: true,
    check: async (t) => {
      const book = t.open(slidingLog({ limit: 4, window: "1m" }));
      const first = await book.allowed(2);
      await t.advance(1_000);
      await book.allowed(2);
      await book.refund(first, 2);
      const { retryAfterMs } = await book.refused(3);
      same(retryAfterMs, 60_000, "what is left is the later take");
    },
  },
  {
    title: "whoever gives a place back twice, or too late, does not give back another's",
    leases: true,
    check: async (t) => {
      const book = t.open(concurrency({ limit: 1, lease: t.unitMs }));
      const first = await book.allowed();
      await book.refund(first);
      const second = await book.allowed();
      await book.refund(first);
      await book.refused(1, "key", "a take after a place was given back twice");
      await t.advance(t.unitMs);
      await book.allowed();
      await book.refund(second);
      await book.refused(1, "key", "a take after a place was given back too late");
    },
  },
  {
    title: "a block refuses everything of its subject, for its time, and peeks see it",
    check: async (t) => {
      const { book } = t.bucket(10);
      await book.allowed(2);
      await book.ledger.block(book.call(), t.unitMs);
      const { retryAfterMs } = await book.refused();
      ensure(retryAfterMs <= t.unitMs, `a block of ${t.unitMs} ms is not one of ${retryAfterMs} ms`);
      same((await book.take(1, "key", "peek")).allowed, false, "a peek");
      same((await book.borrow(1)).granted, 0, "what is lent");
      await book.allowed(1, "another");
      await t.advance(t.unitMs);
      await book.allowed();
    },
  },
  {
    title: "a block holds for subjects that have taken nothing, and ends when it is told to",
    check: async (t) => {
      const { book } = t.bucket(10);
      await book.ledger.block(book.call(), 3_600_000);
      await book.refused();
      await book.ledger.block(book.call(), 0);
      await book.allowed();
      await book.expectLeft([9], "after a block that took nothing");
    },
  },
  {
    title: "a reset forgets what was taken, and blocks",
    check: (t) =>
      t.each(t.lasting(3), async (book) => {
        await book.allowed(3);
        await book.allowed(3, "another");
        await book.ledger.block(book.call(), 3_600_000);
        await book.ledger.reset(book.call());
        await book.expectLeft([3], "after a reset");
        await book.allowed(3);
        await book.refused(1, "another", "a take of a subject that was not reset");
      }),
  },
];

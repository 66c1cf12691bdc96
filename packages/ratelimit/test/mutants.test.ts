// The suite is only as good as the faults it finds: each of these stores must fail it.
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import type { Ledger, LedgerCall, Limit, LimitState, RateLimitStore, Rule } from "@holdfast/ratelimit";
import { memoryRateLimitStore } from "@holdfast/ratelimit";
import { rateLimitStoreConformance } from "@holdfast/ratelimit/testing";
import { describe, expect, it } from "vitest";

/** Titles of the clauses that a store does not keep. */
async function brokenClauses(mutate: (store: RateLimitStore) => RateLimitStore): Promise<readonly string[]> {
  const tests: { readonly title: string; readonly body: () => Promise<void> }[] = [];
  let clock: ManualClock;
  rateLimitStoreConformance(
    { describe: (_, body) => body(), it: (title, body) => tests.push({ title, body }) },
    {
      make: () => mutate(memoryRateLimitStore({ clock: (clock = manualClock()) })),
      advance: (ms) => clock.advance(ms),
    },
  );
  const failed: string[] = [];
  for (const { title, body } of tests) await body().catch(() => failed.push(title));
  return failed;
}

/** A store whose ledgers do something else. */
const withLedger =
  (change: (ledger: Ledger, limits: readonly Limit[]) => Partial<Ledger>) =>
  (store: RateLimitStore): RateLimitStore => ({
    traits: store.traits,
    close: () => store.close(),
    open: (name, limits) => {
      const ledger = store.open(name, limits);
      const own: Ledger = {
        take: (call, mode, signal) => ledger.take(call, mode, signal),
        borrow: (call) => ledger.borrow(call),
        refund: (call, marks) => ledger.refund(call, marks),
        renew: (call, marks) => ledger.renew(call, marks),
        block: (call, forMs) => ledger.block(call, forMs),
        reset: (call) => ledger.reset(call),
      };
      return { ...own, ...change(ledger, limits) };
    },
  });

/** A store whose limits reckon otherwise. */
const withRule = (change: (rule: Rule, limit: Limit) => Partial<Rule>) => {
  const mutants = new WeakMap<Limit, Limit>();
  const mutant = (limit: Limit): Limit => {
    const known = mutants.get(limit);
    if (known !== undefined) return known;
    const { rule } = limit;
    const own: Rule = {
      kind: rule.kind,
      parameters: rule.parameters,
      create: () => rule.create(),
      advance: (state, now) => rule.advance(state, now),
      waitFor: (state, now, cost) => rule.waitFor(state, now, cost),
      spend: (state, now, cost) => rule.spend(state, now, cost),
      refund: (state, now, cost, mark) => rule.refund(state, now, cost, mark),
      remaining: (state, now) => rule.remaining(state, now),
      growsIn: (state, now) => rule.growsIn(state, now),
      restsIn: (state, now) => rule.restsIn(state, now),
      ...(rule.renew === undefined
        ? {}
        : { renew: (state: LimitState, now: number, mark: number) => rule.renew!(state, now, mark) }),
    };
    const made = { ...limit, rule: { ...own, ...change(rule, limit) } };
    mutants.set(limit, made);
    return made;
  };
  const swap = (limits: readonly Limit[]): readonly Limit[] => limits.map(mutant);
  return withLedger((ledger) => ({
    take: (call, mode) => ledger.take({ ...call, limits: swap(call.limits) }, mode),
    borrow: (call) => ledger.borrow({ ...call, limits: swap(call.limits) }),
    refund: (call, marks) => ledger.refund({ ...call, limits: swap(call.limits) }, marks),
    renew: (call, marks) => ledger.renew({ ...call, limits: swap(call.limits) }, marks),
  }));
};

const only = (call: LedgerCall, index: number): LedgerCall => ({
  ...call,
  limits: [call.limits[index]!],
});

/** A fault, and words from the title of a clause that finds it. */
const mutants: Readonly<Record<string, readonly [(store: RateLimitStore) => RateLimitStore, string]>> = {
  "gives out one too many": [
    withRule((rule) => ({ waitFor: (state, now, cost) => rule.waitFor(state, now, Math.max(0, cost - 1)) })),
    "refuses one more",
  ],
  "gives out one too few": [
    withRule((rule) => ({ waitFor: (state, now, cost) => rule.waitFor(state, now, cost + 1) })),
    "allows the whole quota",
  ],
  "looks before it takes": [
    withLedger((ledger) => ({
      take: async (call, mode) => {
        const look = await ledger.take(call, mode === "take" ? "peek" : mode);
        await Promise.resolve();
        return look.allowed && mode === "take" ? ledger.take(call, "spend") : look;
      },
    })),
    "to many who ask at a time",
  ],
  "counts what it refuses": [
    withLedger((ledger) => ({
      take: async (call, mode) => {
        const decision = await ledger.take(call, mode);
        if (!decision.allowed && mode === "take") await ledger.take(call, "spend");
        return decision;
      },
    })),
    "takes nothing",
  ],
  "takes from one limit after another": [
    withLedger((ledger) => ({
      take: async (call, mode) => {
        if (mode !== "take") return ledger.take(call, mode);
        for (const index of call.limits.keys()) {
          const part = await ledger.take(only(call, index), mode);
          if (!part.allowed) return ledger.take(call, "peek");
        }
        return { ...(await ledger.take(call, "peek")), allowed: true, retryAfterMs: 0, marks: [] };
      },
    })),
    "takes from all limits or from none",
  ],
  "takes one cost from all limits": [
    withLedger((ledger) => ({
      take: (call, mode) =>
        ledger.take({ ...call, cost: typeof call.cost === "number" ? call.cost : 1 }, mode),
    })),
    "another cost from each limit",
  ],
  "takes when it should only look": [
    withLedger((ledger) => ({ take: (call, mode) => ledger.take(call, mode === "peek" ? "take" : mode) })),
    "a peek tells",
  ],
  "refuses to spend what is not there": [
    withLedger((ledger) => ({ take: (call, mode) => ledger.take(call, mode === "spend" ? "take" : mode) })),
    "what is spent is spent",
  ],
  "lends more than there is": [
    withLedger((ledger) => ({
      borrow: async (call) => ({
        granted: typeof call.cost === "number" ? call.cost : 1,
        decision: await ledger.take(call, "spend"),
      }),
    })),
    "lends what there is",
  ],
  "lends all or nothing": [
    withLedger((ledger) => ({
      borrow: async (call) => {
        const decision = await ledger.take(call, "take");
        return { granted: decision.allowed && typeof call.cost === "number" ? call.cost : 0, decision };
      },
    })),
    "lends what there is",
  ],
  "goes by its own numbers only": [
    withLedger((ledger, limits) => ({ take: (call, mode) => ledger.take({ ...call, limits }, mode) })),
    "goes by other numbers",
  ],
  "tells others to come back too early": [
    withRule((rule) => ({
      waitFor: (state, now, cost) => {
        const wait = rule.waitFor(state, now, cost);
        return wait > 10_000 ? wait - 5_000 : wait;
      },
    })),
    "allows after the time",
  ],
  "lets them come early": [
    withRule((rule) => ({
      waitFor: (state, now, cost) => Math.max(0, rule.waitFor(state, now, cost) - 2_000),
    })),
    "fills evenly",
  ],
  "never gives anything back by itself": [
    withRule((rule) => {
      const first = new WeakMap<LimitState, number>();
      return {
        advance: (state, now) => {
          if (!first.has(state)) first.set(state, now);
          rule.advance(state, first.get(state)!);
        },
      };
    }),
    "as if nothing had been taken",
  ],
  "counts in whole seconds": [
    withRule((rule) => {
      const floored = (now: number): number => Math.floor(now / 1e6) * 1e6;
      return {
        advance: (state, now) => rule.advance(state, floored(now)),
        waitFor: (state, now, cost) => rule.waitFor(state, floored(now), cost),
      };
    }),
    "fills evenly",
  ],
  "counts time in 31 bits": [
    withRule((rule) => {
      const start = new WeakMap<LimitState, number>();
      return {
        advance: (state, now) => {
          const from = start.get(state) ?? now;
          start.set(state, from);
          rule.advance(state, from + Math.min(now - from, 2 ** 31 * 1_000));
        },
      };
    }),
    "over a month",
  ],
  "does not refund": [withLedger(() => ({ refund: () => Promise.resolve() })), "a refund gives back"],
  "refunds beyond the quota": [
    withRule((rule, limit) => ({
      refund: (state, now, cost, mark) => {
        rule.refund(state, now, cost, mark);
        if (limit.rule.kind === "fixed") (state as LimitState & { count: number }).count -= cost;
      },
    })),
    "never leaves more than the quota",
  ],
  "refunds whatever is asked, whenever": [
    withRule((rule, limit) =>
      limit.rule.kind === "bucket"
        ? {
            refund: (state) => {
              (state as LimitState & { debt: number }).debt = 0;
            },
          }
        : {},
    ),
    "a refund of a bucket gives back",
  ],
  "refunds a window that is over": [
    withRule((rule, limit) =>
      limit.rule.kind === "fixed"
        ? {
            refund: (state, now, cost) =>
              rule.refund(state, now, cost, (state as LimitState & { window: number }).window),
          }
        : {},
    ),
    "does not count for the one after it",
  ],
  "gives back any place": [
    withRule((rule, limit) =>
      limit.rule.kind === "slots"
        ? {
            refund: (state, now, cost) => {
              const [mark] = (state as LimitState & { leases: Map<number, unknown> }).leases.keys();
              if (mark !== undefined) rule.refund(state, now, cost, mark);
            },
          }
        : {},
    ),
    "does not give back another's",
  ],
  "keeps places for ever": [
    withRule((rule, limit) => (limit.rule.kind === "slots" ? { advance: () => {} } : {})),
    "a place is another's",
  ],
  "renews what has run out": [
    withLedger((ledger) => ({
      renew: async (call, marks) => {
        await ledger.renew(call, marks);
        return true;
      },
    })),
    "a place is another's",
  ],
  "does not block": [withLedger(() => ({ block: () => Promise.resolve() })), "a block refuses"],
  "blocks for ever": [
    withLedger((ledger) => ({ block: (call, forMs) => ledger.block(call, forMs * 1_000) })),
    "a block refuses",
  ],
  "keeps a block at a reset": [
    withLedger((ledger) => {
      let blocked = 0;
      return {
        block: (call, forMs) => ledger.block(call, (blocked = forMs)),
        reset: async (call) => {
          await ledger.reset(call);
          await ledger.block(call, blocked);
        },
      };
    }),
    "a reset forgets",
  ],
  "resets everybody": [
    withLedger((ledger) => ({
      reset: async (call) => {
        await ledger.reset(call);
        await ledger.reset({ ...call, subject: "another" });
      },
    })),
    "a reset forgets",
  ],
  "cuts keys short": [
    withLedger((ledger) => ({
      take: (call, mode) =>
        ledger.take(
          { ...call, subject: typeof call.subject === "string" ? call.subject.slice(0, 511) : call.subject },
          mode,
        ),
    })),
    "counts every key apart",
  ],
  "cuts keys at a brace": [
    withLedger((ledger) => ({
      take: (call, mode) =>
        ledger.take(
          {
            ...call,
            subject:
              typeof call.subject === "string" ? call.subject.replace(/[{}]/g, "") || "-" : call.subject,
          },
          mode,
        ),
    })),
    "counts every key apart",
  ],
  "counts every limit by the same": [
    withLedger((ledger, limits) => ({
      take: (call, mode) =>
        ledger.take(
          {
            ...call,
            subject:
              typeof call.subject === "string"
                ? call.subject
                : Object.fromEntries(limits.map(({ by }) => [by, "all"])),
          },
          mode,
        ),
    })),
    "counts each limit by what it is told to",
  ],
  "counts all ledgers together": [
    (store) => ({
      traits: store.traits,
      close: () => store.close(),
      open: (_, limits) => store.open("one", limits),
    }),
    "of other names apart",
  ],
  "takes calls after it was closed": [
    (store) => ({
      traits: store.traits,
      close: () => Promise.resolve(),
      open: (name, limits) => store.open(name, limits),
    }),
    "later calls reject",
  ],
};

describe("rateLimitStoreConformance rejects a store that", () => {
  it.each(Object.entries(mutants))("%s", async (_, [mutate, clause]) => {
    const broken = await brokenClauses(mutate);
    expect(broken.filter((title) => title.includes(clause))).not.toEqual([]);
  });

  it("but not one that is only wrapped", async () => {
    expect(await brokenClauses(withLedger(() => ({})))).toEqual([]);
    expect(await brokenClauses(withRule(() => ({})))).toEqual([]);
  });
});

// The suite is only as good as the faults it finds: each of these logs must fail it.
import type { AppendRequest, WriteLog } from "@holdfast/cache";
import { memoryWriteLog } from "@holdfast/cache";
import { writeLogConformance } from "@holdfast/cache/testing";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";

/** Titles of the clauses that a log does not keep. */
async function brokenClauses(mutate: (log: WriteLog) => WriteLog): Promise<readonly string[]> {
  const tests: { readonly title: string; readonly body: () => Promise<void> }[] = [];
  let clock: ManualClock;
  writeLogConformance(
    { describe: (_, body) => body(), it: (title, body) => tests.push({ title, body }) },
    {
      make: () => mutate(memoryWriteLog({ clock: (clock = manualClock()) })),
      advance: (ms) => clock.advance(ms),
    },
  );
  const failed: string[] = [];
  for (const { title, body } of tests) await body().catch(() => failed.push(title));
  return failed;
}

/** A log that does some things otherwise. */
const but =
  (change: (log: WriteLog) => Partial<WriteLog>) =>
  (log: WriteLog): WriteLog => ({
    traits: log.traits,
    append: (request, options) => log.append(request, options),
    read: (key, options) => log.read(key, options),
    claim: (request, options) => log.claim(request, options),
    renew: (claims, leaseMs, options) => log.renew(claims, leaseMs, options),
    settle: (settlements, options) => log.settle(settlements, options),
    stats: (options) => log.stats(options),
    deadEntries: (limit, offset, options) => log.deadEntries(limit, offset, options),
    redrive: (keys, options) => log.redrive(keys, options),
    discard: (keys, options) => log.discard(keys, options),
    close: () => log.close(),
    ...change(log),
  });

const appends = (change: (request: AppendRequest) => AppendRequest) =>
  but((log) => ({ append: (request, options) => log.append(change(request), options) }));

/** A fault, and words from the title of a clause that finds it. */
const mutants: Readonly<Record<string, readonly [(log: WriteLog) => WriteLog, string]>> = {
  "acknowledges and keeps nothing": [
    but((log) => ({
      append: async (_, options) => {
        options?.signal?.throwIfAborted();
        return { kind: "appended", version: (await log.stats()).latest + 1 };
      },
    })),
    "reads what was appended",
  ],
  "keeps the first of two writes": [
    but((log) => ({
      append: async (request, options) => {
        const old = await log.read(request.key, options);
        return log.append(old === undefined ? request : { ...request, value: old }, options);
      },
    })),
    "takes a newer write in place",
  ],
  "takes keys that look alike for one": [
    appends((request) => ({ ...request, key: request.key.normalize("NFC") })),
    "keeps every key apart",
  ],
  "cuts long values": [
    appends((request) => ({ ...request, value: request.value.slice(0, 1_000) })),
    "values of any size",
  ],
  "has no bound": [appends((request) => ({ ...request, maxKeys: 10_000 })), "is full at its bound"],
  "takes one too many": [
    appends((request) => ({ ...request, maxKeys: request.maxKeys + 1 })),
    "is full at its bound",
  ],
  "refuses newer values when it is full": [
    but((log) => ({
      append: async (request, options) => {
        const { pending, dead } = await log.stats(options);
        if (pending + dead >= request.maxKeys) return { kind: "full", keys: pending + dead };
        return log.append(request, options);
      },
    })),
    "is full at its bound",
  ],
  "does not count dead letters": [
    but((log) => ({
      append: async (request, options) => {
        const { dead } = await log.stats(options);
        return log.append({ ...request, maxKeys: request.maxKeys + dead }, options);
      },
    })),
    "counts dead letters",
  ],
  "waits for no delay": [appends((request) => ({ ...request, delayMs: 0 })), "waits for the delay"],
  "gives a key to everybody": [
    but((log) => ({ claim: (request, options) => log.claim({ ...request, leaseMs: 0 }, options) })),
    "gives a key to one who asks",
  ],
  "gives more than is asked for": [
    but((log) => ({
      claim: (request, options) => log.claim({ ...request, limit: request.limit + 1 }, options),
    })),
    "no more keys than are asked for",
  ],
  "never takes over": [
    but((log) => ({ claim: (request, options) => log.claim({ ...request, leaseMs: 1e12 }, options) })),
    "when the lease has run out",
  ],
  "does not hurry": [
    but((log) => ({ claim: (request, options) => log.claim({ ...request, early: false }, options) })),
    "does not wait for delays when asked",
  ],
  "hurries always": [
    but((log) => ({ claim: (request, options) => log.claim({ ...request, early: true }, options) })),
    "waits for the delay",
  ],
  "does not tell when to come again": [
    but((log) => ({
      claim: async (request, options) => ({ claims: (await log.claim(request, options)).claims }),
    })),
    "how long until the next",
  ],
  "counts fences by attempts": [
    but((log) => {
      const fences = new Map<string, number>();
      const mine = (key: string, fence: number): number => (fences.get(key) === 1 ? fence : -1);
      return {
        claim: async (request, options) => {
          const claimed = await log.claim(request, options);
          for (const { key } of claimed.claims) fences.set(key, 1);
          return { ...claimed, claims: claimed.claims.map((claim) => ({ ...claim, fence: claim.attempt })) };
        },
        settle: (settlements) =>
          log.settle(settlements.map((one) => ({ ...one, fence: mine(one.key, one.fence) }))),
      };
    }),
    "rising fences",
  ],
  "lets anybody settle": [
    but((log) => {
      const newest = new Map<string, number>();
      return {
        claim: async (request, options) => {
          const claimed = await log.claim(request, options);
          for (const { key, fence } of claimed.claims) newest.set(key, fence);
          return claimed;
        },
        settle: (settlements, options) =>
          log.settle(
            settlements.map((one) => ({ ...one, fence: newest.get(one.key) ?? one.fence })),
            options,
          ),
      };
    }),
    "whose claim was taken over",
  ],
  "says that all is well": [
    but((log) => ({
      settle: async (settlements, options) =>
        (await log.settle(settlements, options)).map(() => "ok" as const),
    })),
    "whose claim was taken over",
  ],
  "does not renew": [
    but(() => ({ renew: async (claims) => claims.map(() => "ok" as const) })),
    "as long as they are renewed",
  ],
  "forgets what came while it was written": [
    but((log) => ({
      settle: async (settlements, options) => {
        const outcomes = await log.settle(settlements, options);
        for (const [index, { key, kind }] of settlements.entries()) {
          if (kind !== "written" || outcomes[index] !== "ok") continue;
          const { claims } = await log.claim({ limit: 100, leaseMs: 1e9, early: true });
          for (const claim of claims)
            await log.settle([{ ...claim, kind: claim.key === key ? "written" : "released" }]);
        }
        return outcomes;
      },
    })),
    "keeps what was written while a claim was under way",
  ],
  "tries again at once": [
    but((log) => ({
      settle: (settlements, options) =>
        log.settle(
          settlements.map((one) => (one.kind === "failed" ? { ...one, delayMs: 0 } : one)),
          options,
        ),
    })),
    "after its wait",
  ],
  "counts every attempt": [
    but((log) => ({
      settle: (settlements, options) =>
        log.settle(
          settlements.map((one) => (one.kind === "failed" ? { ...one, counts: true } : one)),
          options,
        ),
    })),
    "attempts that do not count",
  ],
  "reads dead letters as pending": [
    but((log) => ({
      read: async (key, options) => {
        const pending = await log.read(key, options);
        if (pending !== undefined) return pending;
        return (await log.deadEntries(100, 0)).find((entry) => entry.key === key)?.value;
      },
    })),
    "keeps what was given up",
  ],
  "never gives up": [
    but((log) => ({
      settle: (settlements, options) =>
        log.settle(
          settlements.map(({ key, fence, version, ...rest }) =>
            rest.kind === "dead"
              ? { key, fence, version, kind: "released" }
              : ({ key, fence, version, ...rest } as (typeof settlements)[number]),
          ),
          options,
        ),
    })),
    "keeps what was given up",
  ],
  "lists the last of the dead first": [
    but((log) => ({
      deadEntries: async (limit, offset) =>
        (await log.deadEntries(100, 0)).toReversed().slice(offset, offset + limit),
    })),
    "lists those that died first",
  ],
  "tries all dead letters again": [
    but((log) => ({ redrive: (_, options) => log.redrive(undefined, options) })),
    "when told to, as if just written",
  ],
  "forgets what is pending": [
    but((log) => ({
      discard: async (keys, options) => {
        const { claims } = await log.claim({ limit: 100, leaseMs: 1e9, early: true });
        for (const claim of claims)
          await log.settle([{ ...claim, kind: keys.includes(claim.key) ? "written" : "released" }]);
        return log.discard(keys, options);
      },
    })),
    "nothing that is pending",
  ],
  "hides what was superseded": [
    but((log) => ({
      stats: async (options) => {
        const { oldest, ...stats } = await log.stats(options);
        return oldest === undefined ? stats : { ...stats, oldest: stats.latest };
      },
    })),
    "since when the source lacks",
  ],
  "works on after it is closed": [but(() => ({ close: async () => {} })), "later calls reject"],
  "does not hear signals": [but((log) => ({ read: (key) => log.read(key) })), "whose signal is aborted"],
};

describe("the suite of write logs", () => {
  it("has nothing against the log that the mutants are made of", async () => {
    expect(await brokenClauses(but(() => ({})))).toEqual([]);
  });

  it.each(Object.entries(mutants))("finds a log that %s", async (_, [mutate, title]) => {
    const titles = await brokenClauses(mutate);
    expect(titles.join("\n")).toContain(title);
  });
});

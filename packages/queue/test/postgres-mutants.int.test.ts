// The suite is only as good as the faults it finds: each of these takes one guard out of the functions of the PostgreSQL store.
import { queueStoreConformance } from "@holdfast/queue/testing";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { PostgresOnAClock } from "./support/postgres-on-a-clock.ts";
import { postgresOnAClock, timedSchema } from "./support/postgres-on-a-clock.ts";
import type { Session } from "./support/postgres-sessions.ts";
import { serverSession } from "./support/postgres-sessions.ts";

const databaseUrl = inject("databaseUrl");

describe.skipIf(databaseUrl === "")("the suite, on a PostgreSQL store that", () => {
  let session: Session;
  beforeAll(async () => {
    session = await serverSession(databaseUrl);
    await timedSchema(session.client, "sound");
  });
  afterAll(() => session.close());

  /** Titles of the clauses that fail, of those whose title begins so. */
  async function brokenClauses(schema: string, titled: string): Promise<readonly string[]> {
    const tests: { readonly title: string; readonly body: () => Promise<void> }[] = [];
    let timed: PostgresOnAClock;
    const make = async () => {
      timed = await postgresOnAClock(session, schema);
      return timed.store;
    };
    queueStoreConformance(
      {
        describe: (_, body) => body(),
        it: (title, body) => void (title.startsWith(titled) && tests.push({ title, body })),
      },
      { make, advance: (ms) => timed.advance(ms) },
    );
    expect(tests, titled).not.toEqual([]);
    const failed: string[] = [];
    for (const { title, body } of tests) {
      try {
        await body();
      } catch {
        failed.push(title);
      }
    }
    return failed;
  }

  const mutants: Readonly<Record<string, readonly [guard: string, broken: string, clause: string]>> = {
    "does not compare fences of completions": [
      "t.fence = g.fence::bigint and t.state = 5",
      "t.state = 5",
      "refuses a worker that slept through failure and redrive",
    ],
    "does not compare fences": [
      "state = 5 and fence = the_fence and coalesce(due, 0) > now for update;",
      "state = 5 and coalesce(due, 0) > now for update;",
      "refuses every write of a worker whose lease has ended",
    ],
    "starts its fences anew": [
      "fence = fence + n.tasks",
      "fence = fence",
      "gives each lease on a task a higher fence",
    ],
    "lets leases end too late": [
      "if q.next_due <= now then",
      "if q.next_due < now then",
      "ends a lease at its very end",
    ],
    "watches none that runs": [
      "set alarm = due from running",
      "set alarm = null from running",
      "ends a lease at its very end",
    ],
    "looks for all in the line": [
      "t.lined := false;",
      "",
      "wakes who waits for work whenever there is some again",
    ],
    "does not tell those who wait of something sooner": [
      "is_soon := q.next_due < q.told;",
      "is_soon := false;",
      "wakes who waits already",
    ],
    "does not wake those who wait for work": [
      "has_work := found;",
      "",
      "wakes who waits for work whenever there is some again",
    ],
    "does not tell a worker what was taken from it": [
      "and state = 5 order by num;",
      "and state = 5 and false order by num;",
      "tells the worker that ran it",
    ],
    "adds before it counts": ["live + fresh > the_limit", "live > the_limit", "adds all or none"],
    "keeps a place in a group for the ended": [
      'perform "broken".regroup_all(the_queue, n.groups, now);',
      "",
      "lets the next one run when the first completes",
    ],
    "keeps the input of none": [
      "parent, meta, input, decode(bytes",
      "parent, meta, '', decode(bytes",
      "gives workers inputs",
    ],
    "fires what has been fired": [
      "where queue = q.queue and key = the_key and text = the_text and next_at = the_at",
      "where queue = q.queue and key = the_key",
      "adds a task and moves its schedule on, once",
    ],
    "takes no tokens": ["+ g.started * rate_ms", "", "starts as many tasks of a group as its bucket"],
    "hears only the first word on a group": [
      "if g.said[place] <> g.said[place - 1] then",
      "if false then",
      "counts all that one call says of a group",
    ],
    "takes a second checkpoint of a name": [
      "if found then\n    t.checkpoints",
      "if true then\n    t.checkpoints",
      "leaves a checkpoint as it is",
    ],
    "takes no notice of turns": [
      "order by t.turn, t.num limit the_max",
      "order by t.num limit the_max",
      "lets tenants take turns",
    ],
    "remembers turns for ever": [
      "scheduled + waiting + ready + running = 0) then",
      "scheduled + waiting + ready + running < 0) then",
      "forgets turns when no task is live",
    ],
    "remembers all tenants": [
      "and rank = the_rank and tenants > 10000",
      "and false",
      "remembers the next turns of so many tenants",
    ],
    "claims while it is paused": [
      "if q.paused or q.ready = 0",
      "if q.ready = 0",
      "claims nothing while a queue is paused",
    ],
  };
  it.each(Object.entries(mutants))("%s, fails", { timeout: 120_000 }, async (_, [guard, broken, clause]) => {
    expect(await brokenClauses("sound", clause)).toEqual([]);
    await session.client.query(
      "drop schema if exists broken cascade; delete from holdfast_migrations where name like 'queue:broken:%'",
    );
    let isThere = false;
    await timedSchema(session.client, "broken", (sql) => {
      isThere ||= sql.includes(guard);
      return sql.replace(guard, broken);
    });
    expect(isThere).toBe(true);
    expect(await brokenClauses("broken", clause)).not.toEqual([]);
  });
});

import type { QueueModelSubject } from "@holdfast/queue/testing";
import { QueueModelError, queueStoreModel } from "@holdfast/queue/testing";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { PostgresOnAClock } from "./support/postgres-on-a-clock.ts";
import { postgresOnAClock, timedSchema } from "./support/postgres-on-a-clock.ts";
import type { Session } from "./support/postgres-sessions.ts";
import { pgliteSession, serverSession } from "./support/postgres-sessions.ts";

const databaseUrl = inject("databaseUrl");

function subject(session: Session, schema: string): QueueModelSubject {
  let place: PostgresOnAClock;
  return {
    make: async () => {
      place = await postgresOnAClock(session, schema);
      return place.store;
    },
    advance: (ms) => place.advance(ms),
    end: () => agreesWithItself(session, schema),
  };
}

/** What tables say twice, so that it is found quickly: 3 is ready, 7 and above have ended, 8 has failed. */
async function agreesWithItself({ client }: Session, schema: string): Promise<void> {
  const { rows } =
    await client.query(`with tasks as (select * from "${schema}".tasks), kept as (select * from "${schema}".kept)
    select 'kept' as what, coalesce(t.id, k.id) as id from (select * from tasks where state >= 7) t
      full join (select queue, failed, due, unnest(ids) as id from kept) k
        on k.queue = t.queue and k.id = t.id and k.due = t.due and k.failed = (t.state = 8)
      where t.id is null or k.id is null
    union all select 'stray', id from tasks where coalesce(stray, false) <> (state = 3 and not lined)
    union all select 'alarm', id from tasks where alarm is not null and (state >= 7 or alarm <> due)
    union all select 'live_key', id from tasks where live_key is distinct from case when state < 7 then dedup_key end
    union all select 'live_grp', id from tasks where live_grp is distinct from case when state < 7 then grp end`);
  expect(rows).toEqual([]);
}

describe.skipIf(databaseUrl === "")("any history of a queue in PostgreSQL", () => {
  let session: Session;
  beforeAll(async () => {
    session = await serverSession(databaseUrl);
    await timedSchema(session.client, "sound");
  });
  afterAll(() => session.close());

  it("goes as in the reference, where I1 to I10, I12 and I14 hold", { timeout: 600_000 }, async () => {
    await queueStoreModel(subject(session, "sound"), { histories: 60 });
  });

  // Each takes one guard out of the functions, as they are created.
  const mutants: Readonly<Record<string, readonly [guard: string, broken: string]>> = {
    compares_no_fences: [
      "and state = 5 and fence = the_fence and coalesce(due, 0) > now for update;\n  return t;",
      "and state = 5 and coalesce(due, 0) > now for update;\n  return t;",
    ],
    is_a_millisecond_late: ["if q.next_due <= now then", "if q.next_due < now then"],
    gives_one_fence: ["fence = fence + n.tasks", "fence = fence"],
    waits_for_no_turn: [
      't := "waits_for_no_turn".move(t, case when t.grp is null then 3 else 4 end',
      't := "waits_for_no_turn".move(t, case when true then 3 else 4 end',
    ],
    miscounts_what_it_forgets: ["completed = completed - n.completed", "completed = completed"],
    waits_for_no_child: ["when f.children > 0 and k.waits then 2", "when false then 2"],
  };
  it.each(Object.entries(mutants))(
    "finds out functions of which one %s",
    { timeout: 600_000 },
    async (schema, [guard, broken]) => {
      let isThere = false;
      await timedSchema(session.client, schema, (sql) => {
        isThere ||= sql.includes(guard);
        return sql.replace(guard, broken);
      });
      expect(isThere).toBe(true);
      const judged = queueStoreModel(subject(session, schema), { histories: 300, seed: 1, shrink: false });
      await expect(judged).rejects.toThrow(QueueModelError);
    },
  );
});

describe("any history of a queue in PGlite", () => {
  it("goes as in the reference, where I1 to I10, I12 and I14 hold", { timeout: 600_000 }, async () => {
    const session = await pgliteSession();
    await timedSchema(session.client, "sound");
    try {
      await queueStoreModel(subject(session, "sound"), { histories: 15 });
    } finally {
      await session.close();
    }
  });
});

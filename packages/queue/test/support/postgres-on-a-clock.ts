// A real PostgreSQL whose functions read the time of a manual clock: the same rules and statements, to the millisecond.
import type { PgListeningClient, PgQueryable } from "@holdfast/core/postgres";
import { migrate } from "@holdfast/core/postgres";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import { postgresTaskMigrations, postgresTaskStore } from "@holdfast/queue/postgres";
import type { PostgresTaskStore, PostgresTaskStoreOptions } from "@holdfast/queue/postgres";
import type { Session } from "./postgres-sessions.ts";

/** Below the deadline of a call: what a timer has sent is answered before the next one fires. */
const STEP_MS = 1_000;
const TABLES = "queues tasks kept events checkpoints groups turns levels revoked waits schedules".split(" ");

export interface PostgresOnAClock {
  readonly clock: ManualClock;
  readonly store: PostgresTaskStore;
  /** Moves the clock on, and waits for all that has been sent to be answered and all wake-ups to arrive. */
  advance(ms: number): Promise<void>;
}

/** Sets a schema up whose functions read the time that each statement brings. @param change - What is to be different in it. */
export async function timedSchema(
  session: PgQueryable,
  schema: string,
  change: (sql: string) => string = (sql) => sql,
): Promise<void> {
  const migrations = postgresTaskMigrations(schema).map(({ name, statements }) => ({
    name,
    statements: statements.map(change),
  }));
  await migrate(session, migrations);
  await session.query(
    `create or replace function "${schema}".now_ms() returns bigint language sql volatile as
       $$ select current_setting('test.now')::bigint $$`,
  );
}

/** An empty store in such a schema. */
export async function postgresOnAClock(
  session: Session,
  schema: string,
  options: Partial<PostgresTaskStoreOptions> = {},
): Promise<PostgresOnAClock> {
  const clock = manualClock();
  const pending = new Set<Promise<unknown>>();
  const listening = new Set<PgListeningClient>();
  const tracked = <T>(sent: Promise<T>): Promise<T> => {
    const done = sent.then(ignore, ignore).finally(() => pending.delete(done));
    pending.add(done);
    return sent;
  };
  const client: PgQueryable = {
    query: (text, values) => {
      const isTimed = text.startsWith(`select "${schema}".`);
      if (isTimed)
        void session.client.query("select set_config('test.now', $1, false)", [String(clock.now())]);
      return tracked(session.client.query(text, values));
    },
  };
  const opened = async (): Promise<PgListeningClient> => {
    const one = await tracked(session.listen());
    listening.add(one);
    const { query } = one;
    return Object.assign(one, { query: (text: string) => tracked(query.call(one, text)) });
  };
  await session.client.query(TABLES.map((table) => `delete from "${schema}".${table}`).join(";"));
  const store = postgresTaskStore({
    client,
    schema,
    clock,
    listen: opened,
    migrate: false,
    deadline: "1m",
    ...options,
  });

  /** Answers come before the messages that were sent with them: two answers of the other connection tell that they are here. */
  async function settled(): Promise<void> {
    for (let quiet = 0; quiet < 2;) {
      await turn();
      if (pending.size > 0) {
        quiet = 0;
        await Promise.all(pending);
        continue;
      }
      for (const one of listening) await one.query("select 1").catch(ignore);
      quiet += 1;
      await turn();
      if (pending.size > 0) quiet = 0;
    }
  }

  return {
    clock,
    store,
    advance: async (ms) => {
      await settled();
      for (let left = ms; left > 0;) {
        const step = clock.pendingTimers === 0 ? left : Math.min(left, STEP_MS);
        await clock.advance(step);
        await settled();
        left -= step;
      }
      await settled();
    },
  };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function ignore(): void {}

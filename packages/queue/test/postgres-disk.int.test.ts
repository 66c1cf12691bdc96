// A PostgreSQL whose disk is full: a real one, of 64 MiB.
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Queue } from "@holdfast/queue";
import { defineTask, handle, queue, worker } from "@holdfast/queue";
import type { PostgresTaskStore } from "@holdfast/queue/postgres";
import { postgresTaskStore } from "@holdfast/queue/postgres";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { canMountDisks, startPostgres } from "../../../tools/services/index.mjs";
import { gate } from "./bench.ts";

const measure = defineTask<string, string, number>({ name: "measure", leaseLosses: 1_000, keepFor: "1d" });
/** Of a task: more than a page, and nothing that could be packed. */
const BYTES = 20_000;

const LEASE_MS = 1_000;
const REFUSALS = 5;

interface Added {
  readonly acknowledged: readonly string[];
  /** IDs that were refused, and why. */
  readonly refused: ReadonlyMap<string, unknown>;
}

describe.skipIf(!inject("startsPostgres") || !canMountDisks())(
  "a queue on a PostgreSQL with a full disk",
  () => {
    let server: Awaited<ReturnType<typeof startPostgres>>;
    let pool: pg.Pool;
    let store: PostgresTaskStore;
    let tasks: Queue;
    const opened: (() => Promise<unknown>)[] = [];

    beforeEach(async () => {
      server = await startPostgres({ durable: true, diskMiB: 64, settings: { autovacuum: "off" } });
      pool = new pg.Pool({ connectionString: server.url, connectionTimeoutMillis: 1_000 });
      pool.on("error", () => {});
      store = postgresTaskStore({ client: pool, poll: "200ms" });
      tasks = queue({ name: "measured", store });
    });
    afterEach(async () => {
      for (const close of opened.splice(0)) await close();
      await store.close();
      await pool.end();
      await server.stop();
    });

    function work(before: () => Promise<void> = async () => {}): void {
      const handler = handle(measure, async ({ input }) => (await before(), input.length));
      const running = worker(tasks, [handler], { lease: LEASE_MS, concurrency: 2 });
      opened.push(() => running.close({ within: "2s" }));
    }

    async function added(id: string): Promise<void> {
      await tasks.enqueue(measure, randomBytes(BYTES / 2).toString("hex"), { id });
    }

    /** Adds tasks until some have been refused. */
    async function addUntilRefused(): Promise<Added> {
      const acknowledged: string[] = [];
      const refused = new Map<string, unknown>();
      for (let n = 0; refused.size < REFUSALS; n += 1)
        await added(`full-${n}`).then(
          () => acknowledged.push(`full-${n}`),
          (error: unknown) => refused.set(`full-${n}`, error),
        );
      return { acknowledged, refused };
    }

    /** As full as a disk becomes by itself, with room left in the log that is there. */
    async function fillUp(): Promise<void> {
      await pool.query("select pg_switch_wal()");
      await added("before");
      server.disk!.fill();
    }

    async function expectAllMeasured(ids: Iterable<string>): Promise<void> {
      for (const id of ids) expect(await tasks.wait(measure, id)).toBe(BYTES);
      const { ready, running } = await tasks.stats();
      expect({ ready, running }).toEqual({ ready: 0, running: 0 });
    }

    it("[must-survive 38] acknowledges nothing that does not fit, loses nothing that it has acknowledged, and goes on once there is room", async () => {
      await added("first");
      await fillUp();
      const { acknowledged, refused } = await addUntilRefused();
      for (const error of refused.values())
        expect(error).toMatchObject({
          code: "STORE_UNAVAILABLE",
          reason: "out_of_resources",
          outcome: "none",
          cause: { code: "53100" },
        });
      // It can still be asked, and knows of none that was refused.
      const found = await store.get("measured", [...refused.keys()]);
      expect(found.every((status) => status === undefined)).toBe(true);
      expect((await tasks.stats()).ready).toBe(2 + acknowledged.length);
      server.disk!.free();
      work();
      for (const id of refused.keys()) await added(id);
      await expectAllMeasured(["first", "before", ...acknowledged, ...refused.keys()]);
    });

    it("[must-survive 38] has its workers go on by themselves once there is room, whatever they could not say before", async () => {
      const [begun, held] = [gate(), gate()];
      work(() => {
        begun.open();
        return held.promise;
      });
      await added("first");
      await begun.promise;
      await fillUp();
      const { acknowledged } = await addUntilRefused();
      held.open();
      await sleep(LEASE_MS);
      server.disk!.free();
      await expectAllMeasured(["first", "before", ...acknowledged]);
      const { events } = (await store.events("measured", "first", 0, 1_000))!;
      expect(events.filter(({ type }) => type === "completed")).toHaveLength(1);
    });

    it("[must-survive 38] loses nothing that it has acknowledged when its log is full, and PostgreSQL falls over it", async () => {
      work();
      await added("first");
      await tasks.wait(measure, "first");
      await fillUp();
      // Whoever it is that writes.
      const write = "select pg_logical_emit_message(true, 'x', repeat('x', 1000000))";
      while ((await pool.query(write).catch(() => undefined)) !== undefined);
      const { acknowledged, refused } = await addUntilRefused();
      for (const error of refused.values()) expect(error).toMatchObject({ code: "STORE_UNAVAILABLE" });
      server.disk!.free();
      await server.restart();
      for (const id of refused.keys())
        await added(id).catch((error: unknown) => expect(error).toMatchObject({ code: "TASK_EXISTS" }));
      await expectAllMeasured(["first", "before", ...acknowledged, ...refused.keys()]);
    });
  },
);

// Tasks made of steps, on every store that outlives its processes, whose workers are killed with SIGKILL.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { TaskStatus } from "@holdfast/queue";
import { hasEnded } from "@holdfast/queue";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { AskedProcess, startPostgres, startRedis } from "../../../tools/services/index.mjs";
import { row } from "../../../tools/systems/row.mjs";

const WORKER = fileURLToPath(new URL("./fixtures/steps-worker.mjs", import.meta.url));
const LEASE_MS = 600;
const CHAINS = 12;
const ORDERS = 12;

interface Server {
  readonly url: string;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

interface Home {
  readonly kind: "journal" | "redis" | "postgres";
  readonly isThere: boolean;
  /** A journal is of one process. */
  readonly processes: number;
  readonly start?: () => Promise<Server>;
}

const homes: readonly Home[] = [
  { kind: "journal", isThere: true, processes: 1 },
  {
    kind: "redis",
    isThere: inject("startsRedis"),
    processes: 3,
    start: () => startRedis({ appendOnly: true }),
  },
  {
    kind: "postgres",
    isThere: inject("startsPostgres"),
    processes: 3,
    start: () => startPostgres({ durable: true }),
  },
];

for (const { kind, isThere, processes, start } of homes)
  describe.skipIf(!isThere)(`tasks made of steps on ${kind} whose workers are killed`, () => {
    let folder: string;
    let server: Server | undefined;
    let workers: AskedProcess[];
    let isOver: boolean;

    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), "steps-crash-"));
      server = await start?.();
      workers = [];
      isOver = false;
    });
    afterEach(async () => {
      isOver = true;
      await Promise.all(workers.map((one) => one.kill()));
      await server?.stop();
      await rm(folder, { recursive: true, force: true });
    });

    function startWorkers(count: number): Promise<unknown> {
      for (let at = 0; at < count; at += 1) startWorker(at);
      return Promise.all(workers.map(({ ready }) => ready));
    }

    /** One that is killed, or kills itself, is replaced. */
    function startWorker(at: number): void {
      const place = server?.url ?? join(folder, "journal");
      const one = new AskedProcess(WORKER, [kind, place, String(LEASE_MS), folder]);
      workers[at] = one;
      void one.exited.then(() => isOver || startWorker(at));
    }

    /** Asks whoever is there until there is an answer. A second try adds no second task and no second event. */
    async function ask<Answer>(what: string, ...words: readonly unknown[]): Promise<Answer> {
      for (let turn = 0; ; turn += 1) {
        try {
          return (await workers[turn % workers.length]!.ask(what, ...words)) as Answer;
        } catch (error) {
          const { code } = error as { code?: string };
          if (code === "TASK_EXISTS") return undefined as Answer;
          if (code !== "LOST" && code !== "STORE_UNAVAILABLE") throw error;
          await sleep(50);
        }
      }
    }

    /** What was done for a task, in order. */
    async function effectsOf(id: string): Promise<readonly string[]> {
      const lines = (await readFile(join(folder, "effects"), "utf8")).trim().split("\n");
      return lines
        .map((line) => line.split(" "))
        .filter(([of]) => of === id)
        .map(([, what]) => what!);
    }

    async function allEnded(ids: readonly string[], withinMs: number): Promise<readonly TaskStatus[]> {
      const until = performance.now() + withinMs;
      for (;;) {
        const found = await ask<readonly (TaskStatus | undefined)[]>("get", ids);
        const ended = found.filter((status) => status !== undefined && hasEnded(status)) as TaskStatus[];
        if (ended.length === ids.length) return ended;
        if (performance.now() > until) throw new Error(`not ended: ${JSON.stringify(found)}`);
        await sleep(200);
      }
    }

    it(row(90, "resumes at the last checkpoint after kill -9 in the middle of a step"), async () => {
      await startWorkers(1);
      await ask("enqueue", "chain", { steps: 5, dieAt: "3" }, "one");
      await ask("signal", "one", "go", "went");
      const [status] = await allEnded(["one"], 30_000);
      expect(await effectsOf("one")).toEqual(["0", "1", "2", "3", "3", "4"]);
      expect(await ask("result", "one")).toEqual({ value: ["0", "1", "2", "went", "3", "4"] });
      expect(status).toMatchObject({ attempt: 1, leaseLosses: 1 });
    });

    it("goes on undoing a saga at the last checkpoint after kill -9 in the middle of a compensation", async () => {
      await startWorkers(1);
      await ask("enqueue", "order", { steps: 3, dieAt: "undo-1" }, "one");
      const [status] = await allEnded(["one"], 30_000);
      expect(await effectsOf("one")).toEqual(["0", "1", "2", "undo-2", "undo-1", "undo-1", "undo-0"]);
      expect(status).toMatchObject({ state: "failed", error: { code: "SAGA_COMPENSATED" } });
    });

    it(
      row(
        90,
        `never goes back behind a checkpoint on ${kind} while workers are killed and servers restarted`,
      ),
      { timeout: 180_000 },
      async () => {
        await startWorkers(processes);
        const chains = Array.from({ length: CHAINS }, (_, n) => `chain-${n}`);
        const orders = Array.from({ length: ORDERS }, (_, n) => `order-${n}`);
        for (const id of chains) await ask("enqueue", "chain", { steps: 8 }, id);
        for (const id of orders) await ask("enqueue", "order", { steps: 5 }, id);
        let kills = 0;
        for (let round = 0; round < 10; round += 1) {
          await sleep(600);
          if (round === 4) await server?.restart();
          if (round === 5) for (const id of chains) await ask("signal", id, "go", "went");
          await workers[round % workers.length]!.kill();
          kills += 1;
        }
        const ids = [...chains, ...orders];
        const statuses = await allEnded(ids, 90_000);
        let repeated = 0;
        let lost = 0;
        for (const status of statuses) {
          const { id } = status;
          const isChain = chains.includes(id);
          const forward = Array.from({ length: isChain ? 8 : 5 }, (_, at) => `${at}`);
          const all = isChain ? forward : [...forward, ...forward.toReversed().map((at) => `undo-${at}`)];
          const effects = await effectsOf(id);
          const places = effects.map((what) => all.indexOf(what));
          // All of it, in order, and once something has been done, nothing before it again.
          expect(places, id).toEqual(places.toSorted((a, b) => a - b));
          expect([...new Set(effects)], id).toEqual(all);
          repeated += effects.length - all.length;
          expect(status, id).toMatchObject(
            isChain ? { state: "completed" } : { error: { code: "SAGA_COMPENSATED" } },
          );
          lost += status.leaseLosses;
        }
        // Only what was cut is repeated: by a kill, or by a restart in the middle of three workers' eight tasks.
        expect(repeated).toBeLessThanOrEqual(lost + 24);
        console.log(
          `${kind}: ${kills} kills, ${server === undefined ? "no" : "a"} restart: ${ids.length} tasks, ${lost} cut, ` +
            `${repeated} steps run once more`,
        );
      },
    );
  });

import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { describe, expect, inject, it } from "vitest";
import type { PgListener, PgWakeUp } from "@holdfast/core/postgres";
import { pgListener } from "@holdfast/core/postgres";
import { startPostgres } from "../../../tools/services/index.mjs";

const startsPostgres = inject("startsPostgres");

async function connectTo(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  await client.connect();
  return client;
}

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries += 1) {
    if (tries > 1_500) throw new Error("it did not come to pass");
    await sleep(10);
  }
}

function recorded(
  listener: PgListener,
  channel: string,
): { readonly heard: PgWakeUp[]; readonly stop: () => void } {
  const heard: PgWakeUp[] = [];
  return { heard, stop: listener.listen(channel, (event) => heard.push(event)) };
}

describe.skipIf(!startsPostgres)("pgListener", () => {
  it("hears what is said on its channels, and no more once it has stopped", async () => {
    await using server = await startPostgres();
    await using listener = pgListener({ connect: () => connectTo(server.url) });
    const jobs = recorded(listener, "jobs");
    await until(() => jobs.heard.length === 1);
    const mail = recorded(listener, "Mail_2");
    await until(() => mail.heard.length === 1);
    expect([jobs.heard[0], mail.heard[0]]).toEqual([{ kind: "listening" }, { kind: "listening" }]);

    const speaker = await connectTo(server.url);
    await speaker.query(`select pg_notify('jobs', 'one'), pg_notify('Mail_2', '')`);
    await until(() => jobs.heard.length === 2 && mail.heard.length === 2);
    expect(jobs.heard[1]).toEqual({ kind: "notified", payload: "one" });
    jobs.stop();
    await speaker.query(`select pg_notify('jobs', 'two'), pg_notify('Mail_2', 'x')`);
    await until(() => mail.heard.length === 3);
    expect(jobs.heard.length).toBe(2);
    await speaker.end();
    await listener.close();
    expect(() => listener.listen("jobs", () => {})).toThrow("closed");
  });

  it("connects again after its connection was ended and after the server was killed, and wakes everyone", async () => {
    await using server = await startPostgres({ durable: true });
    const lost: string[] = [];
    await using listener = pgListener({
      connect: () => connectTo(server.url),
      onLost: (error) => lost.push(error.message),
    });
    const { heard } = recorded(listener, "jobs");
    await until(() => heard.length === 1);
    const speaker = await connectTo(server.url);
    await speaker.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and query ilike 'listen%'",
    );
    await until(() => heard.length === 2);
    expect(heard[1]).toEqual({ kind: "listening" });
    speaker.on("error", () => {});
    await server.restart();
    await until(() => heard.length === 3);
    const again = await connectTo(server.url);
    await again.query("select pg_notify('jobs', 'still there')");
    await until(() => heard.length === 4);
    expect(heard[3]).toEqual({ kind: "notified", payload: "still there" });
    expect(lost.length).toBeGreaterThanOrEqual(2);
    await again.end();
  });

  it("notices a server that has frozen, hears it again when it goes on, and closes in time while it does not", async () => {
    await using server = await startPostgres();
    const listener = pgListener({
      connect: () => connectTo(server.url),
      heartbeat: 100,
      deadline: 300,
    });
    const { heard } = recorded(listener, "jobs");
    await until(() => heard.length === 1);
    server.pause();
    await until(() => !listener.listening);
    server.resume();
    await until(() => heard.length === 2);
    server.pause();
    await listener.close();
    expect(listener.listening).toBe(false);
    server.resume();
  });

  it("keeps trying when nobody is there at first", async () => {
    await using server = await startPostgres();
    await server.kill();
    const lost: string[] = [];
    await using listener = pgListener({
      connect: () => connectTo(server.url),
      onLost: (error) => lost.push(error.message),
    });
    const { heard } = recorded(listener, "jobs");
    await until(() => lost.length > 1);
    await server.start();
    await until(() => heard.length === 1);
  });
});

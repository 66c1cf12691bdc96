import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import pg from "pg";
import { describe, expect, it } from "vitest";
import { startPostgres } from "./postgres.mjs";
import { startProxy } from "./proxy.mjs";
import { startRedis } from "./redis.mjs";

describe("startRedis", () => {
  it("keeps what was acknowledged over a SIGKILL when it is append-only", async () => {
    const server = await startRedis({ appendOnly: true });
    const client = new Redis(server.url, { lazyConnect: false });
    client.on("error", () => {});
    await client.set("key", "kept");
    await server.restart();
    expect(await client.get("key")).toBe("kept");
    client.disconnect();
    await server.stop();
    expect(existsSync(server.folder)).toBe(false);
  });

  it("answers nothing while it is paused, and goes on after", async () => {
    const server = await startRedis();
    const client = new Redis(server.url);
    server.pause();
    const answer = client.ping();
    await expect(Promise.race([answer, sleep(200, "silence")])).resolves.toBe("silence");
    server.resume();
    await expect(answer).resolves.toBe("PONG");
    client.disconnect();
    await server.stop();
  });

  it("leaves nothing behind when the process that started it is killed", async () => {
    const script = `
      import { startRedis } from ${JSON.stringify(new URL("./redis.mjs", import.meta.url).href)};
      const server = await startRedis();
      console.log(JSON.stringify({ pid: server.pid, folder: server.folder }));
      setInterval(() => {}, 1_000);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = await new Promise((resolve) =>
      child.stdout.once("data", (data) => resolve([String(data)])),
    );
    const { pid, folder } = JSON.parse(line);
    child.kill("SIGKILL");
    await expect.poll(() => existsSync(`/proc/${pid}`) || existsSync(folder), { timeout: 5_000 }).toBe(false);
  });
});

describe("startPostgres", () => {
  it("keeps what was committed over a SIGKILL when it is durable", async () => {
    const server = await startPostgres({ durable: true });
    const first = new pg.Client(server.url);
    first.on("error", () => {});
    await first.connect();
    await first.query("create table t (v int)");
    await first.query("insert into t values (7)");
    await server.restart();
    const second = new pg.Client(server.url);
    await second.connect();
    expect((await second.query("select v from t")).rows).toEqual([{ v: 7 }]);
    await second.end();
    await server.stop();
  });
});

describe("startProxy", () => {
  it("cuts, heals, and loses replies whose effect has happened", async () => {
    const server = await startRedis();
    const proxy = await startProxy(server.port);
    const direct = new Redis(server.url);
    const through = new Redis(proxy.port, "127.0.0.1", { maxRetriesPerRequest: 0, retryStrategy: () => 20 });
    through.on("error", () => {});
    await through.ping();

    proxy.dropReplies(1);
    await expect(through.incr("counter")).rejects.toThrow();
    expect(await direct.get("counter")).toBe("1");

    proxy.cut();
    await expect(through.ping()).rejects.toThrow();
    proxy.heal();
    await expect.poll(() => through.ping().catch(() => "down"), { timeout: 5_000 }).toBe("PONG");

    through.disconnect();
    direct.disconnect();
    await proxy.close();
    await server.stop();
  });
});

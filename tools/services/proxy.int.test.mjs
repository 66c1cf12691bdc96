import { once } from "node:events";
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { startProxy, startRedis } from "./index.mjs";

/** @type {import("node:net").Server} */
let echo;
/** @type {Awaited<ReturnType<typeof startProxy>>} */
let proxy;
beforeEach(async () => {
  echo = createServer((socket) => socket.on("error", () => {}).pipe(socket));
  await new Promise((resolve) => echo.listen(0, "127.0.0.1", () => resolve(undefined)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (echo.address());
  proxy = await startProxy(port);
});
afterEach(async () => {
  await proxy.close();
  await new Promise((resolve) => echo.close(resolve));
});

describe("startProxy", () => {
  it("passes bytes both ways, and the end of a connection too", async () => {
    const client = await dial();
    expect(await exchange(client, "hello")).toBe("hello");
    expect(proxy.connections).toBe(1);
    client.end();
    await once(client, "close");
    await expect.poll(() => proxy.connections).toBe(0);
  });

  it("resets open connections and new ones while it is cut, and works again once healed", async () => {
    const client = await dial();
    proxy.cut();
    expect(await failureOf(client)).toBe("ECONNRESET");
    expect(await failureOf(connect(proxy.port, "127.0.0.1"))).toBe("ECONNRESET");
    proxy.heal();
    expect(await exchange(await dial(), "again")).toBe("again");
  });

  it("takes connections and answers nothing as a black hole, and resets those that lost bytes once healed", async () => {
    const idle = await dial();
    expect(await exchange(idle, "before")).toBe("before");
    proxy.blackhole();
    const client = await dial();
    client.write("lost");
    const first = new Promise((resolve) => client.once("data", resolve));
    await expect(Promise.race([first, sleep(100, "silence")])).resolves.toBe("silence");
    const failure = failureOf(client);
    proxy.heal();
    expect(await failure).toBe("ECONNRESET");
    expect(await exchange(idle, "after")).toBe("after");
  });

  it("delays every chunk and loses none", async () => {
    const client = await dial();
    proxy.latency(150);
    for (const text of ["a", "b", "c"]) client.write(text);
    const first = new Promise((resolve) => client.once("readable", resolve));
    await expect(Promise.race([first, sleep(100, "silence")])).resolves.toBe("silence");
    let got = "";
    for await (const chunk of client) if ((got += chunk) === "abc") break;
    expect(got).toBe("abc");
  });

  it("passes chunks on in slices without losing a byte", async () => {
    const client = await dial();
    proxy.slice(3);
    const text = "0123456789".repeat(50);
    client.write(text);
    const sizes = [];
    let got = "";
    for await (const chunk of client) {
      sizes.push(chunk.length);
      if ((got += chunk).length === text.length) break;
    }
    expect(got).toBe(text);
    expect(sizes.length).toBeGreaterThan(1);
  });

  it("holds a sender back instead of keeping everything in memory", async () => {
    const client = await dial();
    proxy.latency(20);
    const bytes = 8 * 1024 * 1024;
    client.write(Buffer.alloc(bytes));
    let got = 0;
    for await (const chunk of client) if ((got += chunk.length) === bytes) break;
    expect(got).toBe(bytes);
  });

  it("names a target by port, by host and port, or by URL, and says how to reach it", async () => {
    const { port } = /** @type {import("node:net").AddressInfo} */ (echo.address());
    const other = await startProxy(`redis://user:pw@127.0.0.1:${port}/3`);
    expect(other.url).toBe(`redis://user:pw@127.0.0.1:${other.port}/3`);
    await other.close();
    await expect(startProxy("localhost")).rejects.toThrow('the target "localhost" names no port');
  });
});

describe.skipIf(!inject("startsRedis"))("startProxy before a Redis", () => {
  it("loses replies whose effect has happened", async () => {
    const server = await startRedis();
    const lossy = await startProxy(server.url);
    const direct = new Redis(server.url);
    const through = new Redis(lossy.url, { maxRetriesPerRequest: 0, retryStrategy: () => 20 });
    through.on("error", () => {});
    await through.ping();
    lossy.dropReplies(1);
    await expect(through.incr("counter")).rejects.toThrow();
    expect(await direct.get("counter")).toBe("1");
    through.disconnect();
    direct.disconnect();
    await lossy.close();
    await server.stop();
  });
});

async function dial() {
  const client = connect(proxy.port, "127.0.0.1").setNoDelay(true);
  client.on("error", () => {});
  await once(client, "connect");
  return client;
}

/**
 * @param {import("node:net").Socket} client
 * @param {string} text
 */
async function exchange(client, text) {
  client.write(text);
  const [data] = await once(client, "data");
  return String(data);
}

/** @param {import("node:net").Socket} client */
async function failureOf(client) {
  const error = await new Promise((resolve) => client.once("error", resolve));
  return error.code;
}

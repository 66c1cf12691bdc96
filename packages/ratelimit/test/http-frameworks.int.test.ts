// The adapters behind the real frameworks, over real HTTP, looked at with curl.
import { execFile } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import { serve as serveHono } from "@hono/node-server";
import { withMiddleware } from "@holdfast/core";
import { serve } from "@holdfast/core/node";
import type { RateLimiter } from "@holdfast/ratelimit";
import { concurrency, rateLimiter, tokenBucket } from "@holdfast/ratelimit";
import {
  byHeader,
  byIp,
  expressRateLimit,
  fastifyRateLimit,
  honoRateLimit,
  rateLimit,
} from "@holdfast/ratelimit/http";
import express from "express";
import { fastify } from "fastify";
import { Hono } from "hono";
import { describe, expect, it, onTestFinished } from "vitest";

const run = promisify(execFile);

/** What runs behind each: `/slow` waits until it is let go. */
interface Service {
  readonly url: string;
  letGo(): void;
}

type Start = (limiter: RateLimiter) => Promise<Service>;

function gate(): { readonly wait: Promise<void>; readonly open: () => void } {
  let open = (): void => {};
  const wait = new Promise<void>((resolve) => (open = resolve));
  return { wait, open };
}

const frameworks: Readonly<Record<string, Start>> = {
  "node:http": async (limiter) => {
    const slow = gate();
    const handler = withMiddleware(
      async (request) => {
        if (request.url.endsWith("/slow")) await slow.wait;
        return new Response("served");
      },
      rateLimit({ limiter, key: byIp() }),
    );
    const server = await serve(handler);
    onTestFinished(async () => void (await server.close({ within: 0 })));
    return { url: server.url, letGo: slow.open };
  },
  Express: async (limiter) => {
    const slow = gate();
    const app = express();
    app.use(expressRateLimit({ limiter, key: byIp() }));
    app.get("/slow", (_, response) => void slow.wait.then(() => response.send("served")));
    app.get("/", (_, response) => void response.send("served"));
    const server = app.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, letGo: slow.open };
  },
  Fastify: async (limiter) => {
    const slow = gate();
    const app = fastify();
    app.addHook("onRequest", fastifyRateLimit({ limiter, key: byIp() }));
    app.get("/", async () => "served");
    app.get("/slow", async () => {
      await slow.wait;
      return "served";
    });
    const url = await app.listen({ port: 0, host: "127.0.0.1" });
    onTestFinished(() => app.close());
    return { url, letGo: slow.open };
  },
  Hono: async (limiter) => {
    const slow = gate();
    const app = new Hono();
    app.use(honoRateLimit({ limiter, key: byIp() }));
    app.get("/", (context) => context.text("served"));
    app.get("/slow", async (context) => {
      await slow.wait;
      return context.text("served");
    });
    const server = serveHono({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" });
    await once(server, "listening");
    onTestFinished(() => void server.close());
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, letGo: slow.open };
  },
};

describe.each(Object.entries(frameworks))("behind %s", (_, start) => {
  it("serves what is within the limit, refuses what is not, and curl shows how it stands", async () => {
    const limiter = rateLimiter({
      limits: tokenBucket({ name: "burst", capacity: 2, refill: 1, per: "1h" }),
    });
    const { url } = await start(limiter);
    const curl = async (): Promise<string> => (await run("curl", ["-si", url])).stdout.toLowerCase();
    const first = await curl();
    expect(first).toMatch(/^http\/1.1 200/);
    expect(first).toContain("x-ratelimit-limit: 2\r\n");
    expect(first).toContain("x-ratelimit-remaining: 1\r\n");
    expect(first).toContain('ratelimit-policy: "burst";q=2;w=7200\r\n');
    expect(first).toContain('ratelimit: "burst";r=1;t=3600\r\n');
    expect(first.endsWith("served")).toBe(true);
    await curl();
    const refused = await curl();
    expect(refused).toMatch(/^http\/1.1 429/);
    // Less what three processes of curl have taken.
    expect(refused).toMatch(/retry-after: 3(?:600|5\d\d)\r\n/);
    expect(refused).toContain("content-type: application/problem+json");
    expect(JSON.parse(refused.split("\r\n\r\n")[1]!)).toMatchObject({ status: 429, code: "rate_limited" });
  });

  it("gives a place back when it has answered", async () => {
    const limiter = rateLimiter({ limits: concurrency({ limit: 1, lease: "1h" }) });
    const { url, letGo } = await start(limiter);
    const first = fetch(`${url}/slow`);
    await expect.poll(async () => (await limiter.peek("127.0.0.1")).remaining).toBe(0);
    expect((await fetch(url)).status).toBe(429);
    letGo();
    expect(await (await first).text()).toBe("served");
    await expect.poll(async () => (await fetch(url)).status).toBe(200);
  });
});

describe("behind Express", () => {
  it("hands mistakes on to Express, which answers 500", async () => {
    const limiter = rateLimiter({ limits: tokenBucket({ capacity: 2, refill: 1, per: "1h" }) });
    const app = express();
    app.use(expressRateLimit({ limiter, key: byHeader("x-api-key"), cost: 5 }));
    app.use(
      ((_error, _request, response, _next) => void response.status(500).end()) as express.ErrorRequestHandler,
    );
    const server = app.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(500);
  });
});

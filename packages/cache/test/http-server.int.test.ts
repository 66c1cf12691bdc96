// The cache of responses between real servers: clients, a proxy that caches, and an origin, over HTTP on loopback.
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { withMiddleware } from "@holdfast/core";
import { serve } from "@holdfast/core/node";
import type { HttpCacheOptions } from "@holdfast/cache/http";
import { httpCache } from "@holdfast/cache/http";
import { describe, expect, it, onTestFinished } from "vitest";
import { row } from "../../../tools/systems/row.mjs";

type Listener = (request: IncomingMessage, response: ServerResponse) => void;

interface World {
  readonly url: string;
  readonly asked: IncomingMessage[];
  readonly cache: ReturnType<typeof httpCache>;
}

/** An origin, and a proxy before it that keeps what it answers. */
async function world(listener: Listener, options: HttpCacheOptions = {}): Promise<World> {
  const asked: IncomingMessage[] = [];
  const origin = createServer((request, response) => {
    asked.push(request);
    listener(request, response);
  });
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  const { port } = origin.address() as AddressInfo;
  const cache = httpCache({ name: "proxy", ...options });
  const proxied = withMiddleware(async (request) => {
    const headers = new Headers(request.headers);
    for (const name of ["host", "connection", "transfer-encoding"]) headers.delete(name);
    const { pathname, search } = new URL(request.url);
    const hasBody = request.method !== "GET" && request.method !== "HEAD";
    return fetch(`http://127.0.0.1:${port}${pathname}${search}`, {
      method: request.method,
      headers,
      redirect: "manual",
      signal: request.signal,
      ...(hasBody ? { body: await request.arrayBuffer() } : {}),
    });
  }, cache.middleware);
  const server = await serve(proxied, { port: 0, host: "127.0.0.1" });
  onTestFinished(async () => {
    await server.close();
    await cache.close();
    origin.closeAllConnections();
    origin.close();
  });
  return { url: server.url.replace(/\/$/, ""), asked, cache };
}

const said = (response: Response): string => response.headers.get("cache-status") ?? "";

/** Until it is so; a minute at most, which the runner ends. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe("a proxy that caches", () => {
  it(
    row(
      [57, 58],
      "asks the origin once for 200 clients, for each address, query and language, until it is purged",
    ),
    async () => {
      let version = 1;
      const { url, asked, cache } = await world((request, response) => {
        response.setHeader("cache-control", "public, max-age=60");
        response.setHeader("vary", "accept-language");
        response.setHeader("surrogate-key", "books");
        setTimeout(
          () => response.end(`v${version} ${request.url} ${request.headers["accept-language"]}`),
          50,
        );
      });
      const ask = async (path: string, language: string): Promise<string> =>
        (await fetch(url + path, { headers: { "accept-language": language } })).text();
      for (const [path, language] of [
        ["/books?page=1", "en"],
        ["/books?page=2", "en"],
        ["/books?page=1", "de"],
      ] as const) {
        const before = asked.length;
        const answers = await Promise.all(Array.from({ length: 200 }, () => ask(path, language)));
        expect(new Set(answers)).toEqual(new Set([`v1 ${path} ${language}`]));
        expect(asked.length - before).toBe(1);
      }
      version = 2;
      expect(await ask("/books?page=1", "de")).toBe("v1 /books?page=1 de");
      await cache.purgeTag("books");
      expect(await ask("/books?page=1", "de")).toBe("v2 /books?page=1 de");
      expect(await ask("/books?page=2", "en")).toBe("v2 /books?page=2 en");
    },
  );

  it("never gives one client what was made for another, however many ask at once", async () => {
    const { url } = await world((request, response) => {
      const who = request.headers.authorization ?? request.headers.cookie ?? "nobody";
      response.setHeader("cache-control", request.url === "/private" ? "private, max-age=60" : "max-age=60");
      response.setHeader("etag", `"${who}"`);
      if (request.url === "/private") response.setHeader("set-cookie", `seen=${who}`);
      setTimeout(() => response.end(who), Math.random() * 10);
    });
    const wrong: string[] = [];
    for (let wave = 0; wave < 3; wave += 1)
      await Promise.all(
        Array.from({ length: 150 }, async (_, at) => {
          const who = at % 3 === 0 ? "nobody" : `user-${at % 10}`;
          const headers: Record<string, string> =
            at % 3 === 0 ? {} : at % 3 === 1 ? { authorization: who } : { cookie: who };
          const response = await fetch(`${url}/${at % 2 ? "private" : "page"}`, { headers });
          const body = await response.text();
          const cookie = response.headers.get("set-cookie");
          if (body !== who || (cookie !== null && cookie !== `seen=${who}`)) wrong.push(`${body} for ${who}`);
        }),
      );
    expect(wrong).toEqual([]);
  });

  it("validates with the origin, and answers clients that have it with 304", async () => {
    const { url, asked } = await world((request, response) => {
      response.setHeader("cache-control", "no-cache, public");
      response.setHeader("etag", '"1"');
      if (request.headers["if-none-match"] === '"1"') response.writeHead(304).end();
      else response.end("body");
    });
    const first = await fetch(url);
    expect(await first.text()).toBe("body");
    await until(async () => {
      const again = await fetch(url);
      expect(await again.text()).toBe("body");
      return said(again).includes("fwd-status=304");
    });
    const known = await fetch(url, { headers: { "if-none-match": '"1"' } });
    expect([known.status, await known.text()]).toEqual([304, ""]);
    expect(asked.at(-1)!.headers["if-none-match"]).toBe('"1"');
  });

  it("keeps what fetch has unpacked as it is sent on", async () => {
    const text = "a text that is packed ".repeat(100);
    const { url, asked } = await world((_, response) => {
      response.setHeader("cache-control", "max-age=60");
      response.setHeader("content-encoding", "gzip");
      response.end(gzipSync(text));
    });
    for (let time = 0; time < 3; time += 1) {
      const response = await fetch(url);
      expect(await response.text()).toBe(text);
      expect(response.headers.get("content-encoding")).toBeNull();
    }
    await until(async () => {
      const response = await fetch(url);
      expect(await response.text()).toBe(text);
      return said(response).includes("hit");
    });
    expect(asked.length).toBeGreaterThan(0);
  });

  it("sends a long answer on as it comes, and keeps none of it", async () => {
    const chunk = Buffer.alloc(65_536, 1);
    const { url, asked } = await world(
      (_, response) => {
        response.setHeader("cache-control", "max-age=60");
        response.write(chunk);
        for (let at = 1; at < 64; at += 1) response.write(chunk);
        response.end();
      },
      { maxBodyBytes: 1_000_000 },
    );
    for (let time = 0; time < 2; time += 1)
      expect((await (await fetch(url)).arrayBuffer()).byteLength).toBe(64 * chunk.length);
    expect(asked).toHaveLength(2);
  });

  it("sends the beginning before the end is there, and stops the origin when the client of a stream goes", async () => {
    let isClosed = false;
    const { url } = await world((request, response) => {
      response.setHeader("content-type", "text/event-stream");
      response.setHeader("cache-control", "no-store");
      response.write("data: 1\n\n");
      request.socket.once("close", () => {
        isClosed = true;
      });
    });
    const stop = new AbortController();
    const response = await fetch(url, { signal: stop.signal });
    const reader = response.body!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe("data: 1\n\n");
    stop.abort();
    await expect(reader.read()).rejects.toThrow();
    await until(() => isClosed);
  });

  it("answers HEAD from what it has, hands ranges on, and forgets what a PUT changes", async () => {
    let text = "0123456789";
    const { url, asked } = await world((request, response) => {
      if (request.method === "PUT") {
        text = "changed";
        response.writeHead(204).end();
        return;
      }
      response.setHeader("cache-control", "max-age=60");
      if (request.headers.range === "bytes=0-3")
        response.writeHead(206, { "content-range": "bytes 0-3/10" }).end(text.slice(0, 4));
      else response.end(text);
    });
    await (await fetch(url)).text();
    await until(async () => said(await fetch(url, { method: "HEAD" })).includes("hit"));
    const before = asked.length;
    const head = await fetch(url, { method: "HEAD" });
    expect([head.headers.get("content-length"), said(head).includes("hit"), asked.length]).toEqual([
      "10",
      true,
      before,
    ]);
    const part = await fetch(url, { headers: { range: "bytes=0-3" } });
    expect([part.status, await part.text()]).toEqual([206, "0123"]);
    expect(await (await fetch(url)).text()).toBe("0123456789");
    expect((await fetch(url, { method: "PUT", body: "x" })).status).toBe(204);
    expect(await (await fetch(url)).text()).toBe("changed");
  });

  it("serves what it has while the origin is gone, as long as that says", async () => {
    let isDown = false;
    const { url } = await world((request, response) => {
      if (isDown) {
        request.socket.destroy();
        return;
      }
      response.setHeader("cache-control", "max-age=0, stale-if-error=60");
      response.setHeader("etag", '"1"');
      if (request.headers["if-none-match"] === '"1"') response.writeHead(304).end();
      else response.end("body");
    });
    await (await fetch(url)).text();
    await until(async () => said(await fetch(url)).includes("fwd-status=304"));
    isDown = true;
    for (let time = 0; time < 5; time += 1) {
      const response = await fetch(url);
      expect([response.status, await response.text()]).toEqual([200, "body"]);
      expect(said(response)).toContain("stale-if-error");
    }
  });
});

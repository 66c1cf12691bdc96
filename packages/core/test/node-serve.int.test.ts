import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { readBody, remoteAddressOf, RequestError } from "@holdfast/core";
import type { Handler } from "@holdfast/core";
import type { RunningServer, ServeOptions } from "@holdfast/core/node";
import { serve } from "@holdfast/core/node";
import { afterEach, describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";

const running: RunningServer[] = [];

async function start(handler: Handler, options?: ServeOptions): Promise<RunningServer> {
  const server = await serve(handler, options);
  running.push(server);
  return server;
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close({ within: 0 })));
});

/** Sends bytes as they are and answers with all that comes back until the connection ends. */
function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(text));
    socket.on("data", (data) => (answer += data.toString("latin1")));
    socket.on("error", reject);
    socket.on("close", () => resolve(answer));
  });
}

describe("serve", () => {
  it("hands on method, path, headers and body, and writes status, headers and body back", async () => {
    const { url } = await start(async (request) => {
      const body = await request.text();
      const { pathname, search } = new URL(request.url);
      return new Response(`${request.method} ${pathname}${search} ${request.headers.get("x-test")} ${body}`, {
        status: 201,
        headers: [
          ["set-cookie", "a=1"],
          ["set-cookie", "b=2"],
        ],
      });
    });
    const response = await fetch(`${url}/path?q=1`, {
      method: "PUT",
      body: "hello",
      headers: { "x-test": "yes" },
    });
    expect(response.status).toBe(201);
    expect(response.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    expect(await response.text()).toBe("PUT /path?q=1 yes hello");
  });

  it("notes on a request which address it came from", async () => {
    const { url } = await start((request) => new Response(remoteAddressOf(request)));
    expect(await (await fetch(url)).text()).toBe("127.0.0.1");
  });

  it("answers HEAD without a body", async () => {
    const { port } = await start(() => new Response("body", { headers: { "content-length": "4" } }));
    const answer = await raw(port, "HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    expect(answer).toMatch(/^HTTP\/1\.1 200/);
    expect(answer.endsWith("\r\n\r\n")).toBe(true);
  });

  it(
    row(
      15,
      "answers what a handler throws with problem details that tell nothing of the inside, and goes on",
    ),
    async () => {
      const seen: unknown[] = [];
      const { url } = await start(
        (request) => {
          if (request.url.endsWith("/known")) throw new RequestError(409, "TAKEN", "the name is taken");
          throw new Error("password=hunter2");
        },
        { onError: (error) => seen.push(error) },
      );
      const known = await fetch(`${url}/known`);
      expect([known.status, await known.json()]).toMatchObject([
        409,
        { code: "TAKEN", detail: "the name is taken" },
      ]);
      const unknown = await fetch(`${url}/unknown`);
      expect(unknown.status).toBe(500);
      expect(unknown.headers.get("content-type")).toBe("application/problem+json");
      expect(await unknown.text()).not.toContain("hunter2");
      expect(seen).toHaveLength(1);
      expect((await fetch(`${url}/known`)).status).toBe(409);
    },
  );

  it("refuses a body that is declared too large before reading it", async () => {
    const { url } = await start(async (request) => new Response(await request.text()), { maxBodyBytes: 10 });
    const response = await fetch(url, { method: "POST", body: "12345678901" });
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([
      413,
      "PAYLOAD_TOO_LARGE",
    ]);
  });

  it("refuses a body without a declared length once it passes the limit, and goes on serving", async () => {
    const { url, port } = await start(
      async (request) => new Response(String((await readBody(request, 1_000)).length)),
      {
        maxBodyBytes: 100,
      },
    );
    const chunk = `20\r\n${"x".repeat(32)}\r\n`;
    const answer = await raw(
      port,
      `POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${chunk.repeat(10)}0\r\n\r\n`.replace(
        "host: a",
        "host: a\r\nconnection: close",
      ),
    );
    expect(answer).toMatch(/^HTTP\/1\.1 413/);
    expect(await (await fetch(url, { method: "POST", body: "ok" })).text()).toBe("2");
  });

  it("aborts the request's signal when the client goes away", async () => {
    let aborted: (() => void) | undefined;
    const gone = new Promise<void>((resolve) => (aborted = resolve));
    const { port } = await start(
      (request) =>
        new Promise<Response>(() => {
          request.signal.addEventListener("abort", () => aborted?.());
        }),
    );
    const client = httpRequest({ port, host: "127.0.0.1" });
    client.on("error", () => {});
    client.end();
    setTimeout(() => client.destroy(), 50);
    await gone;
  });

  it("stops a stream whose client has gone", async () => {
    let cancelled: (() => void) | undefined;
    const gone = new Promise<void>((resolve) => (cancelled = resolve));
    const { url } = await start(
      () =>
        new Response(
          new ReadableStream({
            pull: (controller) => {
              controller.enqueue(new Uint8Array(65_536));
            },
            cancel: () => cancelled?.(),
          }),
        ),
    );
    const stop = new AbortController();
    const response = await fetch(url, { signal: stop.signal });
    await response.body?.getReader().read();
    stop.abort();
    await gone;
  });

  it("[must-survive 51] cuts the connection when a body fails half-way, so that nobody takes it for the whole", async () => {
    let sent = 0;
    const seen: unknown[] = [];
    const { url } = await start(
      () =>
        new Response(
          new ReadableStream({
            pull: (controller) => {
              sent += 1;
              if (sent === 1) controller.enqueue(new TextEncoder().encode("half"));
              else controller.error(new Error("upstream died"));
            },
          }),
        ),
      { onError: (error) => seen.push(error) },
    );
    await expect(fetch(url).then((response) => response.text())).rejects.toThrow();
    expect(seen).toMatchObject([{ message: "upstream died" }]);
  });

  it.each([
    ["a target that is no path", "GET foo HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"],
    ["a host that is none", "GET / HTTP/1.1\r\nhost: a/b?c@d\r\nconnection: close\r\n\r\n"],
    ["two lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx"],
    [
      "a length and chunks",
      "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ["a folded header", "GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n"],
    ["no HTTP at all", "\u0016\u0003\u0001 nonsense\r\n\r\n"],
  ])("answers %s with 400 and stays up", async (_, text) => {
    const { port, url } = await start(() => new Response("served"));
    expect(await raw(port, text)).toMatch(/^HTTP\/1\.1 400/);
    expect(await (await fetch(url)).text()).toBe("served");
  });

  it("[must-survive 37] answers a flood of headers with 431", async () => {
    const { port } = await start(() => new Response("served"), { maxHeaderBytes: 2_048 });
    const answer = await raw(port, `GET / HTTP/1.1\r\nhost: a\r\n${"x-pad: 0123456789\r\n".repeat(500)}\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 431/);
  });

  it("[must-survive 48] ends a client that never finishes its headers with 408", async () => {
    const { port } = await start(() => new Response("served"), { headersTimeout: 50, requestTimeout: 100 });
    const answer = await raw(port, "GET / HTTP/1.1\r\nhost: a\r\nx-slow: ");
    expect(answer).toMatch(/^HTTP\/1\.1 408/);
  });

  it("ends a client that never finishes its body with 408", async () => {
    const { port } = await start(async (request) => new Response(await request.text()), {
      headersTimeout: 50,
      requestTimeout: 100,
    });
    const answer = await raw(port, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nslow");
    expect(answer).toMatch(/^HTTP\/1\.1 408/);
  });

  it("answers an upgrade that nobody takes with 426", async () => {
    const { port } = await start(() => new Response("served"));
    const answer = await raw(
      port,
      "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    );
    expect(answer).toMatch(/^HTTP\/1\.1 426/);
  });

  it("ends the connection of a refused upgrade, also when its client does not", async () => {
    const { port } = await start(() => new Response("served"));
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    socket.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    socket.resume();
    await once(socket, "end");
    const server = running[0]!;
    expect(await server.close({ within: "5s" })).toEqual({ cut: 0 });
    socket.destroy();
  });

  it("answers an upgrade to an address that is none with 400, and one whose handler fails with 500", async () => {
    const { port } = await start(() => new Response("served"), {
      onUpgrade: () => {
        throw new Error("bug");
      },
    });
    const upgrade = (target: string): Promise<string> =>
      raw(port, `GET ${target} HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`);
    expect(await upgrade("http://")).toMatch(/^HTTP\/1\.1 400/);
    expect(await upgrade("/")).toMatch(/^HTTP\/1\.1 500/);
    expect(await upgrade("/")).not.toContain("bug");
  });

  it("answers targets, hosts and headers that Fetch cannot take with 400, and goes on serving", async () => {
    const { port, url } = await start(() => new Response("served"));
    const ask = (lines: string): Promise<string> => raw(port, `${lines}\r\nconnection: close\r\n\r\n`);
    for (const lines of [
      "GET http:// HTTP/1.1\r\nhost: a",
      "OPTIONS * HTTP/1.1\r\nhost: a",
      "GET / HTTP/1.1\r\nhost: a b",
      "GET / HTTP/1.1\r\nhost: user@a",
      "GET / HTTP/1.1\r\nhost: a/b?c",
      "TRACE / HTTP/1.1\r\nhost: a",
    ])
      expect(await ask(lines), lines).toMatch(/^HTTP\/1\.1 400/);
    expect(await ask("GET http://b/path HTTP/1.1\r\nhost: a")).toMatch(/^HTTP\/1\.1 200/);
    expect(await (await fetch(url)).text()).toBe("served");
  });

  it("holds back a stream whose client reads slowly", async () => {
    let produced = 0;
    const { port } = await start(
      () =>
        new Response(
          new ReadableStream<Uint8Array>({
            pull: (controller) => {
              produced += 1;
              controller.enqueue(new Uint8Array(65_536));
            },
          }),
        ),
    );
    const socket = connect(port, "127.0.0.1");
    socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    await once(socket, "readable");
    // It stops somewhere: what the sockets' buffers take, and no more.
    await expect
      .poll(
        async () => {
          const before = produced;
          await new Promise((resolve) => setTimeout(resolve, 200));
          return produced - before;
        },
        { timeout: 20_000 },
      )
      .toBe(0);
    expect(produced).toBeLessThan(1_000);
    socket.destroy();
  });

  it("answers 204 and 304 without a body, and shows an IPv6 address as a URL can hold it", async () => {
    const { url } = await start(
      (request) => new Response(null, { status: Number(new URL(request.url).pathname.slice(1)) }),
      {
        host: "::1",
      },
    );
    expect(url).toMatch(/^http:\/\/\[::1\]:\d+$/);
    for (const status of [204, 304]) {
      const response = await fetch(`${url}/${status}`);
      expect([response.status, await response.text()]).toEqual([status, ""]);
    }
  });

  it("finishes running requests when it closes, and takes no new ones", async () => {
    let finish: (() => void) | undefined;
    let arrived: (() => void) | undefined;
    const here = new Promise<void>((resolve) => (arrived = resolve));
    const server = await start(async () => {
      arrived?.();
      await new Promise<void>((resolve) => (finish = resolve));
      return new Response("finished");
    });
    const answer = fetch(server.url).then((response) => response.text());
    await here;
    const closed = server.close({ within: "5s" });
    await expect(fetch(server.url)).rejects.toThrow();
    finish?.();
    expect(await answer).toBe("finished");
    expect(await closed).toEqual({ cut: 0 });
  });

  it("cuts what has not finished within the budget, and says how much", async () => {
    const server = await start(() => new Promise<Response>(() => {}));
    const answer = fetch(server.url);
    answer.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await server.close({ within: 20 })).toEqual({ cut: 1 });
    await expect(answer).rejects.toThrow();
  });
});

// What another site's page may not do, and what a result may not become.
import { defineTask, handle } from "@holdfast/queue";
import type { TaskApiOptions } from "@holdfast/queue/http";
import { fileResult, taskApi } from "@holdfast/queue/http";
import { serveTaskSocket } from "@holdfast/queue/ws";
import { describe, expect, it } from "vitest";
import { bench } from "./bench.ts";

const echo = defineTask({ name: "echo", attempts: 1 });

function open(options: Partial<TaskApiOptions> = {}) {
  const at = bench();
  const api = taskApi({ queue: at.queue, task: echo as never, signals: ["go"], ...options });
  const send = (path: string, headers: Record<string, string>, method = "POST"): Promise<Response> => {
    const body = method === "POST" ? { body: "{}" } : {};
    const all = { "content-type": "application/json", host: "app.example", ...headers };
    return Promise.resolve(
      api(new Request(`http://app.example/tasks${path}`, { method, headers: all, ...body })),
    );
  };
  return { ...at, send };
}

describe("taskApi", () => {
  it.each([
    ["of another site", "https://evil.example"],
    ["of another port", "http://app.example:8080"],
    ["of a sandbox", "null"],
    ["that is none", "app.example"],
  ])("refuses every change from a page with an origin %s", async (_, origin) => {
    const { queue, send } = open();
    const { id } = await queue.enqueue(echo, 1);
    const tries = [
      send("", { origin }),
      send(`/${id}`, { origin }, "DELETE"),
      send(`/${id}/events/go`, { origin }),
    ];
    for (const response of await Promise.all(tries)) {
      expect(response.status).toBe(403);
      expect(response.headers.get("content-type")).toBe("application/problem+json");
      expect(await response.json()).toMatchObject({ code: "FOREIGN_ORIGIN" });
    }
    expect(await queue.stats()).toMatchObject({ ready: 1, cancelled: 0 });
  });

  it("takes them from its own pages, from programs, and from the origins that are listed", async () => {
    const origins = ["https://shop.example"];
    const accepted = [
      open().send("", {}),
      open().send("", { origin: "https://app.example" }),
      open({ origins }).send("", { origin: "https://shop.example" }),
      open({ origins: "any" }).send("", { origin: "https://evil.example" }),
    ];
    for (const response of await Promise.all(accepted)) expect(response.status).toBe(202);
    expect((await open({ origins }).send("", { origin: "https://evil.example" })).status).toBe(403);
  });

  it.each([[["app.example"]], ["all"], [["https://app.example/"]], [[5]]])(
    "refuses %o as origins",
    (origins) => {
      expect(() => open({ origins: origins as never })).toThrow(/origins.*https:/);
      const options = { queue: bench().queue, request: { headers: {} }, origins: origins as never };
      expect(() => serveTaskSocket({ on: () => {} } as never, options)).toThrow(/origins.*https:/);
    },
  );
});

describe("the result of a task", () => {
  const bytes = new Uint8Array([1, 2]);
  const fetched = async (value: unknown, options: Partial<TaskApiOptions> = {}): Promise<Response> => {
    const { queue, send, work } = open(options);
    await using _ = work([handle(echo, () => value)]);
    const { id } = await queue.enqueue(echo, 1);
    await queue.wait(echo, id);
    return await send(`/${id}/result`, {}, "GET");
  };

  it.each(["image/png", "IMAGE/JPEG", "text/plain; charset=utf-8", "application/json", "video/mp4"])(
    "is shown as %s",
    async (contentType) => {
      const { headers } = await fetched(fileResult(contentType, bytes));
      expect(headers.get("content-type")).toBe(contentType);
      expect(headers.get("content-disposition")).toBeNull();
      expect(headers.get("x-content-type-options")).toBe("nosniff");
    },
  );

  it.each([
    "text/html",
    "image/svg+xml",
    "TEXT/HTML;charset=utf-8",
    "application/xhtml+xml",
    "text/javascript",
  ])("is to be saved as %s, unless it is said otherwise", async (contentType) => {
    const response = await fetched({ contentType, bytes });
    expect(response.headers.get("content-disposition")).toBe("attachment");
    expect(response.headers.get("content-type")).toBe(contentType);
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
    const inline = [contentType.replace(/;.*/, "")];
    expect((await fetched({ contentType, bytes }, { inline })).headers.get("content-disposition")).toBeNull();
  });

  it.each(["", "html", "text/html\r\nset-cookie: a=b", "text/ü", "a b/c", `text/${"x".repeat(300)}`])(
    "of no type, %j, is bytes to be saved; fileResult refuses it where it is made",
    async (contentType) => {
      const response = await fetched({ contentType, bytes });
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toBe("application/octet-stream");
      expect(response.headers.get("content-disposition")).toBe("attachment");
      expect(() => fileResult(contentType, bytes)).toThrow(/fileResult.*contentType.*image\/png/s);
    },
  );

  it("has no file without bytes, and no list of types that are none", () => {
    expect(() => fileResult("image/png", "x" as never)).toThrow(/bytes/);
    expect(() => open({ inline: ["html"] })).toThrow(/inline.*text\/html/);
    expect(() => open({ inline: "text/html" as never })).toThrow(/inline/);
  });
});

describe("serveTaskSocket", () => {
  const opened = (origin: string | undefined, options: object = {}) => {
    const calls: string[] = [];
    const socket = {
      bufferedAmount: 0,
      on: (event: string) => calls.push(event),
      close: (code: number, reason: string) => calls.push(`close ${code} ${reason}`),
    };
    const request = { headers: { host: "app.example", ...(origin === undefined ? {} : { origin }) } };
    serveTaskSocket(socket as never, { queue: bench().queue, request, ...options });
    return calls;
  };

  it("closes the connection of another site's page, and serves nothing", () => {
    expect(opened("https://evil.example")).toEqual(["error", "close 1008 this origin is not served"]);
    expect(opened("null")).toContain("close 1008 this origin is not served");
  });

  it("serves its own pages, programs, and the origins that are listed", () => {
    for (const calls of [
      opened(undefined),
      opened("http://app.example"),
      opened("https://shop.example", { origins: ["https://shop.example"] }),
      opened("https://evil.example", { origins: "any" }),
    ])
      expect(calls).toEqual(["message", "error", "close", "pong"]);
  });

  it("refuses to serve whom it cannot tell", () => {
    expect(() => serveTaskSocket({ on: () => {} } as never, { queue: bench().queue } as never)).toThrow(
      /serveTaskSocket.*request/,
    );
  });
});

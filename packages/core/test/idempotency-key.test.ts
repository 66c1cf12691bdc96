import type { Handler, IdempotencyKeyOptions, IdempotencyStore } from "@holdfast/core";
import { idempotencyKey, memoryIdempotencyStore, RequestError, withMiddleware } from "@holdfast/core";
import { faulty, manualClock } from "@holdfast/core/testing";
import { beforeEach, describe, expect, it } from "vitest";

const clock = manualClock();
let store: IdempotencyStore;
let handled: number;

beforeEach(() => {
  store = memoryIdempotencyStore({ clock });
  handled = 0;
});

/** A handler behind the middleware; by default it counts, and answers its count. */
function open(options: Partial<IdempotencyKeyOptions> = {}, handler?: Handler): Handler {
  const count: Handler = async (request) => {
    handled += 1;
    const body = await request.text();
    return Response.json(
      { handled, body },
      { status: 201, headers: { location: "/orders/1", "x-own": "1" } },
    );
  };
  return withMiddleware(handler ?? count, idempotencyKey({ store, scope: "ann", clock, ...options }));
}

function post(
  key: string | undefined,
  body: BodyInit = "5",
  init: RequestInit & { readonly url?: string } = {},
): Request {
  const { url = "http://shop/orders?x=1", ...rest } = init;
  const headers = new Headers(rest.headers);
  if (key !== undefined) headers.set("idempotency-key", key);
  return new Request(url, { method: "POST", body, ...rest, headers });
}

async function problem(response: Response): Promise<readonly [number, unknown, string | null]> {
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const { code } = (await response.json()) as { readonly code: unknown };
  return [response.status, code, response.headers.get("retry-after")];
}

describe("the Idempotency-Key header", () => {
  it("handles the first request, and answers a repeated one with the same status, headers and body", async () => {
    const handler = open();
    const first = await handler(post('"k"'));
    const again = await handler(post('"k"'));
    expect([first.status, again.status]).toEqual([201, 201]);
    expect([first.headers.get("idempotency-replayed"), again.headers.get("idempotency-replayed")]).toEqual([
      null,
      "true",
    ]);
    for (const name of ["location", "x-own", "content-type"])
      expect(again.headers.get(name)).toBe(first.headers.get(name));
    expect(await first.json()).toEqual({ handled: 1, body: "5" });
    expect(await again.json()).toEqual({ handled: 1, body: "5" });
  });

  it("replays bytes, empty bodies and answers that have none", async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    for (const [key, make] of Object.entries<() => Response>({
      bytes: () => new Response(bytes),
      empty: () => new Response(""),
      none: () => new Response(null, { status: 204 }),
    })) {
      const handler = open({}, make);
      const first = await handler(post(key));
      const again = await handler(post(key));
      expect(again.status).toBe(first.status);
      expect(new Uint8Array(await again.arrayBuffer())).toEqual(new Uint8Array(await first.arrayBuffer()));
    }
  });

  it("asks for a key: 400 without one, and with one that cannot be", async () => {
    const handler = open();
    expect(await problem(await handler(post(undefined)))).toEqual([400, "IDEMPOTENCY_KEY_REQUIRED", null]);
    for (const key of ["", '""', '"a', "a b", "ä", "a".repeat(256), '"a"; p=1'])
      expect(await problem(await handler(post(key)))).toEqual([400, "BAD_IDEMPOTENCY_KEY", null]);
    expect(handled).toBe(0);
  });

  it("takes a quoted string and the bare text for the same key", async () => {
    const handler = open();
    await handler(post('"8e03978e-40d5"'));
    expect((await handler(post("8e03978e-40d5"))).headers.get("idempotency-replayed")).toBe("true");
    await handler(post('"with \\"quotes\\" and spaces"'));
    expect(handled).toBe(2);
  });

  it("lets through what needs no key", async () => {
    const handler = open({ required: false });
    await handler(post(undefined));
    await handler(new Request("http://shop/orders", { headers: { "idempotency-key": "k" } }));
    await handler(new Request("http://shop/orders", { headers: { "idempotency-key": "k" } }));
    expect(handled).toBe(3);
  });

  it("answers 422 to another body, address or method under the same key", async () => {
    const handler = open();
    await handler(post("k"));
    for (const other of [
      post("k", "6"),
      post("k", "5", { url: "http://shop/orders?x=2" }),
      post("k", "5", { url: "http://shop/other?x=1" }),
      post("k", "5", { method: "PATCH" }),
    ])
      expect(await problem(await handler(other))).toEqual([422, "IDEMPOTENCY_MISMATCH", null]);
    expect(handled).toBe(1);
  });

  it("answers 409 with Retry-After while the first request is handled", async () => {
    let answer = (_: Response): void => {};
    const entered = new Promise<void>((enter) => {
      const handler = open(
        {},
        () =>
          new Promise((resolve) => {
            answer = resolve;
            enter();
          }),
      );
      void handler(post("k"));
    });
    await entered;
    expect(await problem(await open()(post("k")))).toEqual([409, "IDEMPOTENCY_IN_FLIGHT", "30"]);
    answer(new Response());
  });

  it("answers 409 when it is not known how the first request ended", async () => {
    const timeout = Object.assign(new RequestError(504, "TIMEOUT", "the bank did not answer"), {});
    const failing = open({}, () => Promise.reject(timeout));
    await expect(failing(post("k"))).rejects.toBe(timeout);
    expect(await problem(await open()(post("k")))).toEqual([409, "IDEMPOTENCY_IN_DOUBT", null]);
  });

  it("never gives one client another's answer", async () => {
    const handler = open({ scope: (request) => request.headers.get("authorization") ?? "" });
    await handler(post("k", "5", { headers: { authorization: "ann" } }));
    const other = await handler(post("k", "5", { headers: { authorization: "bob" } }));
    expect(await other.json()).toMatchObject({ handled: 2 });
    await expect(handler(post("k"))).rejects.toMatchObject({ code: "INVALID_OPTION" });
  });

  it("keeps neither cookies nor what belongs to one connection", async () => {
    const handler = open({}, () => {
      const response = new Response("x", {
        headers: { "keep-alive": "timeout=5", date: "today", "x-hop": "1", connection: "close, X-Hop" },
      });
      response.headers.append("set-cookie", "session=1");
      return response;
    });
    expect((await handler(post("k"))).headers.get("set-cookie")).toBe("session=1");
    const again = await handler(post("k"));
    for (const name of ["set-cookie", "keep-alive", "date", "x-hop"])
      expect(again.headers.get(name)).toBeNull();
  });

  it("does not keep what says: not now. It keeps other refusals, and what a caller's own rule says", async () => {
    const status = { now: 503 };
    const handler = open({}, () => new Response(null, { status: status.now }));
    for (const passing of [500, 503, 408, 409, 425, 429]) {
      status.now = passing;
      expect((await handler(post("k"))).status).toBe(passing);
    }
    status.now = 422;
    expect((await handler(post("k"))).status).toBe(422);
    status.now = 200;
    expect((await handler(post("k"))).status).toBe(422);

    const strict = open({ onResponse: () => "unknown" }, () => new Response(null, { status: 500 }));
    expect((await strict(post("strict"))).status).toBe(500);
    expect(await problem(await strict(post("strict")))).toEqual([409, "IDEMPOTENCY_IN_DOUBT", null]);
  });

  it("sends an answer that is too long to keep, whole, and says so when it is asked for again", async () => {
    const chunk = new Uint8Array(1_000).fill(7);
    const long: Handler = () => {
      handled += 1;
      let left = 50;
      return new Response(
        new ReadableStream({
          pull: (controller) => {
            if ((left -= 1) < 0) controller.close();
            else controller.enqueue(chunk);
          },
        }),
      );
    };
    const handler = open({ maxResponseBytes: 10_000 }, long);
    expect((await (await handler(post("k"))).arrayBuffer()).byteLength).toBe(50_000);
    expect(await problem(await handler(post("k")))).toEqual([409, "IDEMPOTENCY_RESULT_NOT_KEPT", null]);
    expect(handled).toBe(1);
  });

  it("refuses a request body that is too large, and keeps nothing of it", async () => {
    const handler = open({ maxBodyBytes: 10 });
    expect(await problem(await handler(post("k", "x".repeat(11))))).toEqual([413, "PAYLOAD_TOO_LARGE", null]);
    expect((await handler(post("k", "small"))).status).toBe(201);
  });

  it("passes on what the handler throws, and takes the request again", async () => {
    const error = new Error("bug");
    await expect(open({}, () => Promise.reject(error))(post("k"))).rejects.toBe(error);
    expect((await open()(post("k"))).status).toBe(201);
  });

  it("answers 503 when its store cannot be asked, and handles nothing", async () => {
    const handler = open({
      store: faulty(store, { plan: () => ({ kind: "hang" }), methods: ["begin"] }),
      storeTimeout: "1s",
      storeAttempts: 1,
    });
    const answer = Promise.resolve(handler(post("k")));
    const seen = { done: false };
    void answer.finally(() => (seen.done = true));
    for (let turn = 0; turn < 100 && !seen.done; turn += 1) {
      await crypto.subtle.digest("SHA-256", new Uint8Array());
      await clock.advance("100ms");
    }
    expect((await problem(await answer)).slice(0, 2)).toEqual([503, "STORE_UNAVAILABLE"]);
    expect(handled).toBe(0);
  });

  it("refuses bad options", () => {
    expect(() => open({ scope: "" })).toThrow(/scope/);
    expect(() => open({ maxBodyBytes: -1 })).toThrow(/maxBodyBytes/);
    expect(() => open({ required: "yes" as never })).toThrow(/required/);
  });
});

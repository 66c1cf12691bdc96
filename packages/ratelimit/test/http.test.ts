import { withMiddleware, withRemoteAddress } from "@holdfast/core";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import type { RateLimitStore } from "@holdfast/ratelimit";
import { concurrency, fixedWindow, rateLimiter, tokenBucket } from "@holdfast/ratelimit";
import type { KeyedRequest, RateLimitHttpOptions, RequestKey } from "@holdfast/ratelimit/http";
import { byAll, byHeader, byIp, rateLimit } from "@holdfast/ratelimit/http";
import { StoreUnavailableError } from "@holdfast/core";
import { beforeEach, describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";

let clock: ManualClock;
beforeEach(() => {
  clock = manualClock();
});

const bucket = (capacity = 2) => tokenBucket({ name: "burst", capacity, refill: 1, per: "10s" });

/** A handler behind the middleware, asked with these headers from this address. */
function service(options: Partial<RateLimitHttpOptions> = {}) {
  const limiter = rateLimiter({
    clock,
    limits: [bucket(), fixedWindow({ name: "day", limit: 100, window: "1d" })],
  });
  const handler = withMiddleware(
    () => new Response("served"),
    rateLimit({ limiter, key: byHeader("x-api-key"), ...options }),
  );
  return async (headers: Readonly<Record<string, string>> = { "x-api-key": "k" }, address = "192.0.2.7") =>
    handler(withRemoteAddress(new Request("http://localhost/", { headers }), address));
}

const problem = async (response: Response) => (await response.json()) as Record<string, unknown>;

describe("rateLimit", () => {
  it(
    row(72, "tells limit and what is left with every answer, and when to come back with a refusal"),
    async () => {
      const ask = service();
      const served = await ask();
      expect(served.status).toBe(200);
      expect(Object.fromEntries(served.headers)).toMatchObject({
        "x-ratelimit-limit": "2",
        "x-ratelimit-remaining": "1",
        "ratelimit-policy": '"burst";q=2;w=20, "day";q=100;w=86400',
      });
      expect(served.headers.get("ratelimit")).toMatch(/^"burst";r=1;t=10, "day";r=99;t=\d+$/);
      expect(served.headers.get("retry-after")).toBeNull();
      await ask();
      const refused = await ask();
      expect(refused.headers.get("retry-after")).toBe("10");
      expect(refused.headers.get("x-ratelimit-remaining")).toBe("0");
    },
  );

  it(row(38, "answers over quota with 429 and problem details, by key"), async () => {
    const ask = service();
    await ask();
    await ask();
    const refused = await ask();
    expect(refused.status).toBe(429);
    expect(refused.headers.get("content-type")).toBe("application/problem+json");
    expect(refused.headers.get("cache-control")).toBe("no-store");
    expect(await problem(refused)).toMatchObject({
      type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
      status: 429,
      code: "RATE_LIMITED",
      limit: "burst",
      retryAfterMs: 10_000,
      "violated-policies": ["burst"],
    });
    expect((await ask({ "x-api-key": "another" })).status).toBe(200);
    await clock.advance("10s");
    expect((await ask()).status).toBe(200);
  });

  it("does not touch headers that a response brings, but adds to them, even where it may not be changed", async () => {
    const limiter = rateLimiter({ clock, limits: bucket() });
    const handler = withMiddleware(
      () => Response.redirect("http://localhost/elsewhere"),
      rateLimit({ limiter, key: () => "k" }),
    );
    const response = await handler(new Request("http://localhost/"));
    expect([response.status, response.headers.get("location"), response.headers.get("ratelimit")]).toEqual([
      302,
      "http://localhost/elsewhere",
      '"burst";r=1;t=10',
    ]);
  });

  it("sends the headers it is told to", async () => {
    const names = async (fields: "ietf" | "legacy" | "none") =>
      [...(await service({ fields })()).headers.keys()].filter((name) => name.includes("ratelimit"));
    expect(await names("ietf")).toEqual(["ratelimit", "ratelimit-policy"]);
    expect(await names("legacy")).toEqual(["x-ratelimit-limit", "x-ratelimit-remaining"]);
    expect(await names("none")).toEqual([]);
  });

  it("lets those without a key share one count, or refuses them", async () => {
    const sharing = service();
    expect((await sharing({})).status).toBe(200);
    expect((await sharing({ "x-api-key": "" })).status).toBe(200);
    expect((await sharing({})).status).toBe(429);
    const strict = service({ withoutKey: "refuse" });
    expect(await problem(await strict({}))).toMatchObject({ status: 400, code: "RATE_LIMIT_KEY_MISSING" });
  });

  it("answers keys on the deny list with 403, without asking anything", async () => {
    const asked: string[] = [];
    const limiter = rateLimiter({
      clock,
      limits: bucket(),
      enforce: () => {
        asked.push("asked");
        return true;
      },
    });
    const ask = service({ limiter, deny: new Set(["bad"]) });
    for (let call = 0; call < 5; call += 1)
      expect(await problem(await ask({ "x-api-key": "bad" }))).toMatchObject({ status: 403, code: "DENIED" });
    expect(asked).toEqual([]);
    expect(await limiter.peek("bad")).toMatchObject({ remaining: 2 });
    expect((await service({ deny: (key) => key.startsWith("b") })({ "x-api-key": "bob" })).status).toBe(403);
  });

  it("skips, costs, and goes by a customer's numbers as it is told", async () => {
    const ask = service({
      skip: (request) => request.headers.get("x-health") !== null,
      cost: (request) => ({ burst: Number(request.headers.get("x-cost") ?? 1) }),
      limits: (request) => (request.headers.get("x-api-key") === "gold" ? [bucket(50)] : undefined),
    });
    expect((await ask({ "x-health": "1" })).headers.get("ratelimit")).toBeNull();
    expect((await ask({ "x-api-key": "gold", "x-cost": "40" })).headers.get("x-ratelimit-remaining")).toBe(
      "10",
    );
    expect((await ask({ "x-api-key": "silver", "x-cost": "2" })).headers.get("x-ratelimit-remaining")).toBe(
      "0",
    );
    await expect(ask({ "x-api-key": "silver", "x-cost": "40" })).rejects.toMatchObject({
      code: "INVALID_OPTION",
    });
  });

  it(row(70, "counts by API key, by user, by address, or by a combination"), async () => {
    const byUser = (request: KeyedRequest) => request.headers.get("authorization")?.replace("Bearer ", "");
    const statuses = async (key: RequestKey, ...asks: readonly (readonly [string, string, string])[]) => {
      const limits = tokenBucket({ capacity: 1, refill: 1, per: "1m" });
      const ask = service({ limiter: rateLimiter({ clock, limits }), key });
      const answers: number[] = [];
      for (const [apiKey, user, address] of asks) {
        const headers = { "x-api-key": apiKey, authorization: `Bearer ${user}` };
        answers.push((await ask(headers, address)).status);
      }
      return answers;
    };
    const here = "192.0.2.1";
    const there = "192.0.2.2";
    expect(
      await statuses(byHeader("x-api-key"), ["a", "1", here], ["a", "2", there], ["b", "1", here]),
    ).toEqual([200, 429, 200]);
    expect(await statuses(byUser, ["a", "1", here], ["b", "1", there], ["a", "2", here])).toEqual([
      200, 429, 200,
    ]);
    expect(await statuses(byIp(), ["a", "1", here], ["b", "2", here], ["a", "1", there])).toEqual([
      200, 429, 200,
    ]);
    const combination = byAll(byUser, byIp());
    expect(await statuses(combination, ["a", "1", here], ["b", "1", here], ["a", "1", there])).toEqual([
      200, 429, 200,
    ]);
  });

  it("counts by several things, each with a key of its own", async () => {
    const limiter = rateLimiter({
      clock,
      limits: [
        tokenBucket({ name: "user", by: "user", capacity: 1, refill: 1, per: "1m" }),
        tokenBucket({ name: "address", by: "address", capacity: 2, refill: 1, per: "1m" }),
      ],
    });
    const handler = withMiddleware(
      () => new Response(),
      rateLimit({ limiter, key: { user: byHeader("x-user"), address: byIp() } }),
    );
    const ask = async (user: string): Promise<number> => {
      const request = new Request("http://localhost/", { headers: { "x-user": user } });
      return (await handler(withRemoteAddress(request, "192.0.2.7"))).status;
    };
    expect([await ask("a"), await ask("a"), await ask("b"), await ask("c")]).toEqual([200, 429, 200, 429]);
    expect(() => rateLimit({ limiter, key: byIp() })).toThrow(/one for each of user, address/);
    expect(() => rateLimit({ limiter, key: { user: byIp() } as never })).toThrow(/key\.address/);
  });

  it("holds a place of a concurrency limit until the handler has answered", async () => {
    const limiter = rateLimiter({ clock, limits: concurrency({ limit: 1 }) });
    let finish: (() => void) | undefined;
    const handler = withMiddleware(
      () => new Promise<Response>((resolve) => (finish = () => resolve(new Response("done")))),
      rateLimit({ limiter, key: () => "k" }),
    );
    const first = handler(new Request("http://localhost/"));
    await clock.advance("5m");
    expect((await handler(new Request("http://localhost/"))).status).toBe(429);
    finish?.();
    expect((await first).headers.get("ratelimit-policy")).toBe('"concurrency";q=1');
    const third = handler(new Request("http://localhost/"));
    await clock.advance(0);
    finish?.();
    expect((await third).status).toBe(200);
  });

  it("[pitfall 18] answers 503, never 429, when the store cannot be asked and it is closed by that", async () => {
    const limiter = rateLimiter({ limits: bucket(), store: downStore, onStoreError: "closed" });
    const refused = await service({ limiter })();
    expect([refused.status, await problem(refused)]).toMatchObject([503, { code: "STORE_UNAVAILABLE" }]);
    const open = rateLimiter({ limits: bucket(), store: downStore, onStoreError: "open" });
    expect((await service({ limiter: open })()).status).toBe(200);
  });

  it("refuses nothing in shadow mode", async () => {
    const limiter = rateLimiter({ clock, limits: bucket(1), enforce: false });
    const ask = service({ limiter });
    expect([(await ask()).status, (await ask()).status]).toEqual([200, 200]);
  });

  it("[must-survive 22] takes hostile keys: long ones by digest, odd ones as they are", async () => {
    const ask = service();
    const long = "x".repeat(10_000);
    expect([(await ask({ "x-api-key": long })).status, (await ask({ "x-api-key": long })).status]).toEqual([
      200, 200,
    ]);
    expect((await ask({ "x-api-key": long })).status).toBe(429);
    expect((await ask({ "x-api-key": `${long}y` })).status).toBe(200);
    for (const key of ["{}", "__proto__", "*", "a b", "\u00ff"])
      expect((await ask({ "x-api-key": key })).status).toBe(200);
  });

  it("refuses options that are none", () => {
    const limiter = rateLimiter({ limits: bucket() });
    expect(() => rateLimit({ limiter: {} as never, key: byIp() })).toThrow(/limiter/);
    expect(() => rateLimit({ limiter, key: byIp(), fields: "all" as never })).toThrow(/fields/);
    expect(() => byHeader("a b")).toThrow(/name/);
    expect(() => byIp({ trustedProxies: ["10.0.0.0/33"] })).toThrow(/trustedProxies/);
    expect(() => byIp({ ipv6Prefix: 0 })).toThrow(/ipv6Prefix/);
  });
});

describe("byIp", () => {
  const key = (
    options: Parameters<typeof byIp>[0],
    address: string | undefined,
    headers: readonly (readonly [string, string])[] = [],
  ) =>
    byIp(options)(
      withRemoteAddress(
        new Request("http://localhost/", { headers: headers.map(([n, v]): [string, string] => [n, v]) }),
        address,
      ),
    );
  const proxies = { trustedProxies: ["10.0.0.0/8", "2001:db8:1::/48"] };

  it("is the address at the other end, and no key where that is not known", () => {
    expect(key({}, "192.0.2.7")).toBe("192.0.2.7");
    expect(key({}, "::ffff:192.0.2.7")).toBe("192.0.2.7");
    expect(key({}, "2001:db8::1")).toBe("2001:0db8:0000:0000:0000:0000:0000:0000/64");
    expect(key({ ipv6Prefix: 56 }, "2001:db8:0:ff01::1")).toBe("2001:0db8:0000:ff00:0000:0000:0000:0000/56");
    expect(key({}, undefined)).toBeUndefined();
    expect(key({}, "unix")).toBeUndefined();
  });

  it("[must-survive 17] does not believe headers of clients", () => {
    expect(key({}, "192.0.2.7", [["x-forwarded-for", "6.6.6.6"]])).toBe("192.0.2.7");
    expect(key(proxies, "192.0.2.7", [["x-forwarded-for", "6.6.6.6"]])).toBe("192.0.2.7");
  });

  it("[must-survive 17] believes trusted proxies, from the nearest on, and nobody before the client", () => {
    const forwarded = (value: string) => key(proxies, "10.0.0.1", [["x-forwarded-for", value]]);
    expect(forwarded("192.0.2.7")).toBe("192.0.2.7");
    expect(forwarded("6.6.6.6, 192.0.2.7")).toBe("192.0.2.7");
    expect(forwarded("6.6.6.6, 192.0.2.7, 10.9.9.9")).toBe("192.0.2.7");
    expect(forwarded("10.1.1.1, 10.9.9.9")).toBe("10.1.1.1");
    expect(forwarded("::ffff:192.0.2.7")).toBe("192.0.2.7");
    expect(forwarded("192.0.2.7:4711")).toBe("192.0.2.7");
    expect(forwarded("[2001:db8:9::1]:4711")).toBe("2001:0db8:0009:0000:0000:0000:0000:0000/64");
    expect(key(proxies, "2001:db8:1::5", [["x-forwarded-for", "192.0.2.7"]])).toBe("192.0.2.7");
  });

  it("[must-survive 17] counts several headers as one, and stops at what is no address", () => {
    const headers = [
      ["x-forwarded-for", "6.6.6.6"],
      ["x-forwarded-for", "192.0.2.7"],
    ] as const;
    expect(key(proxies, "10.0.0.1", headers)).toBe("192.0.2.7");
    for (const hop of [
      "unknown",
      "",
      "1.2.3",
      "evil\u00ff",
      "1.2.3.4.5",
      ",",
      "for=1.2.3.4",
      "x".repeat(9_000),
    ])
      expect(key(proxies, "10.0.0.1", [["x-forwarded-for", hop]]), hop.slice(0, 20)).toBe("10.0.0.1");
    // A list as long as a header may be is looked at from its end, and only so far.
    expect(key(proxies, "10.0.0.1", [["x-forwarded-for", "192.0.2.7,10.0.0.2,".repeat(500)]])).toBe(
      "10.0.0.1",
    );
  });

  it("reads Forwarded (RFC 7239)", () => {
    const forwarded = (value: string) =>
      key({ ...proxies, header: "forwarded" }, "10.0.0.1", [["forwarded", value]]);
    expect(forwarded("for=192.0.2.7;proto=http;by=203.0.113.43")).toBe("192.0.2.7");
    expect(forwarded('For="[2001:db8:9::1]:4711"')).toBe("2001:0db8:0009:0000:0000:0000:0000:0000/64");
    expect(forwarded("for=6.6.6.6, for=192.0.2.7, for=10.0.0.3")).toBe("192.0.2.7");
    expect(forwarded("for=_hidden, for=unknown")).toBe("10.0.0.1");
    expect(forwarded("proto=http")).toBe("10.0.0.1");
  });

  it("keeps combinations apart, however their parts are cut", async () => {
    const both = byAll(byHeader("x-a"), byHeader("x-b"));
    const of = (a: string, b: string) =>
      both(new Request("http://localhost/", { headers: { "x-a": a, "x-b": b } }));
    expect(await of('a","b', "c")).not.toBe(await of("a", 'b","c'));
    expect(await both(new Request("http://localhost/", { headers: { "x-a": "a" } }))).toBeUndefined();
  });
});

const downStore: RateLimitStore = {
  traits: { shared: true, clock: "server" },
  close: () => Promise.resolve(),
  open: () => {
    const down = (): Promise<never> => Promise.reject(new StoreUnavailableError("redis", "down"));
    return { take: down, borrow: down, refund: down, renew: down, block: down, reset: down };
  },
};

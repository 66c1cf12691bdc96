// The cache of responses, on virtual time and without a network.
import { channel, withMiddleware } from "@holdfast/core";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import { createCache } from "@holdfast/cache";
import type { HttpCache, HttpCacheEvent, HttpCacheOptions } from "@holdfast/cache/http";
import { httpCache } from "@holdfast/cache/http";
import { beforeEach, describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";
import { askerOf } from "../src/http/asker.ts";
import { Fill } from "../src/http/fill.ts";
import { Questions } from "../src/http/questions.ts";
import { httpSettingsOf } from "../src/http/settings.ts";

const START = Date.parse("2026-11-21T12:00:00Z");

type Origin = (request: Request) => Response | Promise<Response>;

let clock: ManualClock;
/** What the origin was asked. */
let seen: Request[];
let origin: Origin;

beforeEach(() => {
  clock = manualClock(START);
  seen = [];
  origin = () => answer("body", { "cache-control": "max-age=60" });
});

function answer(body: string | null, headers: Record<string, string>, status = 200): Response {
  return new Response(body, { status, headers: { date: new Date(clock.now()).toUTCString(), ...headers } });
}

/** A cache and what asks it. */
function make(options: HttpCacheOptions = {}): {
  readonly cache: HttpCache;
  readonly ask: (
    url?: string,
    headers?: Record<string, string>,
    init?: RequestInit,
  ) => Promise<Response & { readonly said: string }>;
} {
  const cache = httpCache({ clock, name: "c", ...options });
  const handler = withMiddleware((request) => {
    seen.push(request);
    return origin(request);
  }, cache.middleware);
  return {
    cache,
    ask: async (url = "/a", headers = {}, init = {}) => {
      const response = await handler(new Request(new URL(url, "http://shop"), { headers, ...init }));
      return Object.assign(response, { said: response.headers.get("cache-status") ?? "" });
    },
  };
}

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
};

/** The body, then time for the cache to keep it. */
async function read(response: Promise<Response>): Promise<string> {
  const text = await (await response).text();
  await settle();
  return text;
}

/** A body that is sent on when it is told to. */
function slowly(headers: Record<string, string>) {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  let isCancelled = false;
  const body = new ReadableStream<Uint8Array>({
    start: (given) => {
      controller = given;
    },
    cancel: () => {
      isCancelled = true;
    },
  });
  return {
    response: () => new Response(body, { headers }),
    send: (text: string) => controller.enqueue(new TextEncoder().encode(text)),
    end: () => controller.close(),
    fail: (error: Error) => controller.error(error),
    get isCancelled() {
      return isCancelled;
    },
  };
}

describe("freshness", () => {
  it("[RFC 9111 §4.2] keeps a response for max-age and says its age; then asks again", async () => {
    const { ask } = make();
    const first = await ask();
    expect(first.said).toBe("c; fwd=uri-miss; fwd-status=200; stored");
    expect(first.headers.get("age")).toBeNull();
    await read(Promise.resolve(first));
    await clock.advance("59s");
    const second = await ask();
    expect([second.said, second.headers.get("age"), await second.text()]).toEqual([
      "c; hit; ttl=1",
      "59",
      "body",
    ]);
    await clock.advance("1s");
    expect((await ask()).said).toContain("fwd=");
    expect(seen).toHaveLength(2);
  });

  it.each([
    ["max-age", { "cache-control": "max-age=10" }, 10],
    ["s-maxage before max-age", { "cache-control": "max-age=100, s-maxage=10" }, 10],
    [
      "max-age before Expires",
      { "cache-control": "max-age=10", expires: "Sat, 21 Nov 2026 13:00:00 GMT" },
      10,
    ],
    [
      "Expires less Date",
      { date: "Sat, 21 Nov 2026 12:00:00 GMT", expires: "Sat, 21 Nov 2026 12:00:10 GMT" },
      10,
    ],
    ["a quoted number", { "cache-control": 'max-age="10"' }, 10],
    ["Age from before", { "cache-control": "max-age=60", age: "50" }, 10],
    ["Date from before", { "cache-control": "max-age=60", date: "Sat, 21 Nov 2026 11:59:10 GMT" }, 10],
    [
      "the older of both",
      { "cache-control": "max-age=60", age: "50", date: "Sat, 21 Nov 2026 11:59:50 GMT" },
      10,
    ],
    ["Expires in the old form", { expires: "Saturday, 21-Nov-26 12:00:10 GMT" }, 10],
    ["Expires in the form of asctime", { expires: "Sat Nov 21 12:00:10 2026" }, 10],
  ])("takes %s", async (_, headers, seconds) => {
    origin = () => answer("x", headers);
    const { ask } = make();
    await read(ask());
    await clock.advance(seconds * 1_000 - 1);
    expect((await ask()).said).toContain("hit");
    await clock.advance(1);
    expect((await ask()).said).not.toContain("hit");
  });

  it.each([
    ["nothing that says how long", {}],
    ["Expires: 0", { expires: "0" }],
    ["max-age=0", { "cache-control": "max-age=0" }],
    ["a number that is none", { "cache-control": "max-age=ten" }],
    ["two ages that differ", { "cache-control": "max-age=60, max-age=600" }],
    ["no-store", { "cache-control": "max-age=60, no-store" }],
    ["private", { "cache-control": "max-age=60, private" }],
    ["private for a field", { "cache-control": 'max-age=60, private="x-a"' }],
    ["no-store behind a lost quote", { "cache-control": 'max-age=60, x="y, no-store' }],
    ["private behind a semicolon", { "cache-control": "max-age=60; private" }],
    ["Vary: *", { "cache-control": "max-age=60", vary: "accept, *" }],
    ["a cookie that is set", { "cache-control": "public, max-age=60", "set-cookie": "a=b" }],
    ["an age beyond its time", { "cache-control": "max-age=60", age: "60" }],
    ["a lifetime that is over at its date", { expires: "Sat, 21 Nov 2026 11:00:00 GMT" }],
  ])("keeps nothing with %s", async (_, headers: Record<string, string>) => {
    origin = () => answer("x", headers);
    const { ask } = make();
    for (let time = 0; time < 3; time += 1) {
      expect((await ask()).said).not.toMatch(/hit|stored/);
      await settle();
    }
    expect(seen).toHaveLength(3);
  });

  it("keeps no status that it does not understand, nor a part", async () => {
    for (const status of [201, 206, 400, 401, 403, 429, 500, 503]) {
      origin = () => answer("x", { "cache-control": "public, max-age=60" }, status);
      const { ask } = make();
      await read(ask());
      expect((await ask()).said, String(status)).not.toContain("hit");
    }
    for (const status of [203, 301, 308, 404, 410, 501]) {
      origin = () => answer("x", { "cache-control": "max-age=60" }, status);
      const { ask } = make();
      await read(ask());
      const second = await ask();
      expect([second.status, second.said], String(status)).toEqual([status, "c; hit; ttl=60"]);
    }
  });

  it("[RFC 9111 §4.2.2] guesses only when it is told to, a share of the time since the last change, at most a day", async () => {
    const headers = { "last-modified": "Sat, 21 Nov 2026 11:50:00 GMT" };
    origin = () => answer("x", headers);
    const plain = make();
    await read(plain.ask());
    expect((await plain.ask()).said).not.toContain("hit");
    const guessing = make({ heuristicFreshness: 0.1 });
    await read(guessing.ask());
    expect((await guessing.ask()).said).toBe("c; hit; ttl=60");
    origin = () => answer("x", { "last-modified": "Sat, 21 Nov 2016 11:50:00 GMT" });
    await read(guessing.ask("/old"));
    expect((await guessing.ask("/old")).said).toBe("c; hit; ttl=86400");
  });

  it("adds a date to what has none, and the time that the answer took to its age", async () => {
    origin = async () => {
      await clock.sleep("5s");
      return new Response("x", { headers: { "cache-control": "max-age=60", age: "10" } });
    };
    const { ask } = make();
    const first = read(ask());
    await clock.advance("5s");
    await first;
    const second = await ask();
    expect([second.headers.get("age"), second.headers.get("date")]).toEqual([
      "15",
      "Sat, 21 Nov 2026 12:00:05 GMT",
    ]);
  });
});

describe("directives of requests", () => {
  const fresh = async (options: HttpCacheOptions = {}, headers: Record<string, string> = {}) => {
    origin = () => answer("x", { "cache-control": "max-age=60", ...headers });
    const made = make(options);
    await read(made.ask());
    return made;
  };

  it("[§5.2.1.4] no-cache asks the origin, and Pragma says the same", async () => {
    const { ask } = await fresh();
    expect((await ask("/a", { "cache-control": "no-cache" })).said).toContain("fwd=request");
    await settle();
    expect((await ask("/a", { pragma: "no-cache" })).said).toContain("fwd=request");
    await settle();
    expect((await ask("/a", { pragma: "no-cache", "cache-control": "max-age=60" })).said).toContain("hit");
  });

  it("[§5.2.1.5] no-store keeps nothing, and may be answered from what is kept", async () => {
    const { ask } = make();
    await read(ask("/a", { "cache-control": "no-store" }));
    expect((await ask()).said).toContain("fwd=uri-miss");
    await settle();
    expect((await ask("/a", { "cache-control": "no-store" })).said).toContain("hit");
  });

  it("[§5.2.1.1, §5.2.1.3] max-age and min-fresh want it younger than it promises", async () => {
    const { ask } = await fresh();
    await clock.advance("30s");
    expect((await ask("/a", { "cache-control": "max-age=30" })).said).toContain("hit");
    expect((await ask("/a", { "cache-control": "min-fresh=30" })).said).toContain("hit");
    expect((await ask("/a", { "cache-control": "min-fresh=31" })).said).not.toContain("hit");
    await settle();
    await clock.advance("30s");
    expect((await ask("/a", { "cache-control": "max-age=29" })).said).not.toContain("hit");
  });

  it("[§5.2.1.2] max-stale takes it after its time, as far as it says and the response allows", async () => {
    const { ask } = await fresh({}, { etag: '"1"' });
    await clock.advance("70s");
    expect((await ask("/a", { "cache-control": "max-stale=10" })).said).toBe("c; hit; ttl=-10");
    expect((await ask("/a", { "cache-control": "max-stale" })).said).toContain("hit");
    expect((await ask("/a", { "cache-control": "max-stale=9" })).said).not.toContain("hit");
    for (const strict of ["must-revalidate", "proxy-revalidate", "s-maxage=60"]) {
      const { ask: again } = await fresh({}, { etag: '"1"', "cache-control": `max-age=60, ${strict}` });
      await clock.advance("70s");
      expect((await again("/a", { "cache-control": "max-stale" })).said, strict).not.toContain("hit");
      await settle();
    }
  });

  it("[§5.2.1.7] only-if-cached is 504 when there is nothing", async () => {
    const { ask } = make();
    const none = await ask("/a", { "cache-control": "only-if-cached" });
    expect([none.status, none.said, seen.length]).toEqual([504, "c; detail=only-if-cached", 0]);
    await read(ask());
    expect((await ask("/a", { "cache-control": "only-if-cached" })).status).toBe(200);
    await clock.advance("2m");
    expect((await ask("/a", { "cache-control": "only-if-cached" })).status).toBe(504);
    expect(seen).toHaveLength(1);
  });
});

describe("credentials", () => {
  const WHO: Record<string, Record<string, string>> = {
    Authorization: { authorization: "Bearer a" },
    Cookie: { cookie: "session=a" },
    "Proxy-Authorization": { "proxy-authorization": "Basic a" },
    "X-API-Key": { "x-api-key": "a" },
    "a field that is told of": { "x-user": "a" },
  };
  const credentials = ["X-User"];
  const whose = (request: Request): string =>
    Object.values(WHO)
      .flatMap(Object.keys)
      .map((name) => request.headers.get(name))
      .find((value) => value !== null) ?? "nobody";

  it.each(Object.keys(WHO))(
    "never keeps an answer to %s that does not say that it is for everybody, nor gives one to it",
    async (name) => {
      origin = (request) => answer(`for ${whose(request)}`, { "cache-control": "max-age=60", etag: '"1"' });
      const { ask } = make({ credentials });
      expect(await read(ask("/a", WHO[name]))).toMatch(/for .*a$/);
      const anonymous = await ask();
      expect([anonymous.said.includes("hit"), await anonymous.text()]).toEqual([false, "for nobody"]);
      await settle();
      await clock.advance("11s");
      // What is kept for those without credentials is not what those with some are given.
      const again = await ask("/a", WHO[name]);
      expect([again.said.includes("hit"), await again.text()]).toEqual([false, expect.stringMatching(/a$/)]);
      expect(await read(ask())).toBe("for nobody");
    },
  );

  it.each(["public, max-age=60", "s-maxage=60"])("[§3.5] shares what says %s", async (control) => {
    for (const headers of Object.values(WHO)) {
      origin = () => answer("for all", { "cache-control": control });
      const { ask } = make({ credentials });
      await read(ask("/a", headers));
      expect((await ask()).said).toContain("hit");
      expect((await ask("/a", headers)).said).toContain("hit");
    }
  });

  it("[§3.5] takes must-revalidate as leave for Authorization, and for nothing else", async () => {
    origin = () => answer("x", { "cache-control": "max-age=60, must-revalidate" });
    for (const [name, headers] of Object.entries(WHO)) {
      const { ask } = make({ credentials });
      await read(ask("/a", headers));
      await clock.advance("11s");
      const said = (await ask("/a", headers)).said;
      expect(said.includes("hit"), name).toBe(name === "Authorization");
    }
  });

  it("gives nobody another's answer while both ask at once", async () => {
    for (const control of ["private, max-age=60", "no-store", "max-age=60", "max-age=60, must-revalidate"]) {
      let go: () => void = () => {};
      const gate = new Promise<void>((resolve) => {
        go = resolve;
      });
      origin = async (request) => {
        await gate;
        return answer(`for ${whose(request)}`, {
          "cache-control": control,
          "set-cookie": `id=${whose(request)}`,
        });
      };
      const { ask } = make();
      const asked = ["u1", "u2", "u3", undefined, undefined].map(async (user, at) => {
        const response = await ask(
          "/me",
          user === undefined ? {} : at % 2 ? { cookie: user } : { authorization: user },
        );
        return [await response.text(), response.headers.get("set-cookie")];
      });
      await settle();
      go();
      expect(await Promise.all(asked), control).toEqual([
        ["for u1", "id=u1"],
        ["for u2", "id=u2"],
        ["for u3", "id=u3"],
        ["for nobody", "id=nobody"],
        ["for nobody", "id=nobody"],
      ]);
    }
  });

  it("keeps a response without its cookies where it is told to; only whoever caused them is given them", async () => {
    origin = () => answer("x", { "cache-control": "public, max-age=60", "set-cookie": "id=1" });
    const { ask } = make({ setCookie: "strip" });
    const first = await ask();
    expect(first.headers.get("set-cookie")).toBe("id=1");
    await read(Promise.resolve(first));
    const second = await ask();
    expect([second.said.includes("hit"), second.headers.get("set-cookie")]).toEqual([true, null]);
  });

  it("gives a cookie that comes with a 304 to nobody but whoever asked, and keeps the response no longer", async () => {
    origin = () => answer("x", { "cache-control": "max-age=10", etag: '"1"' });
    const { ask } = make();
    await read(ask());
    await clock.advance("11s");
    origin = (request) =>
      request.headers.has("if-none-match")
        ? answer(null, { etag: '"1"', "set-cookie": "id=1", "cache-control": "max-age=10" }, 304)
        : answer("y", { "cache-control": "max-age=10" });
    const second = await ask();
    expect([second.status, second.headers.get("set-cookie"), await second.text()]).toEqual([
      200,
      "id=1",
      "x",
    ]);
    await settle();
    await clock.advance("11s");
    const third = await ask();
    expect([third.headers.get("set-cookie"), await third.text()]).toEqual([null, "y"]);
  });

  it("keeps no secret: neither in keys nor in what it keeps", async () => {
    origin = () =>
      answer("x", { "cache-control": "public, max-age=60", vary: "cookie, authorization, accept" });
    const kept: unknown[] = [];
    const { ask } = make({
      cache: (needs) =>
        createCache({
          ...needs,
          load: async (key, context) => {
            const value = await needs.load(key, context);
            kept.push(key, value);
            return value;
          },
        }),
    });
    for (const secret of ["s3cret-1", "s3cret-2"])
      await read(ask("/a", { cookie: secret, authorization: secret, accept: "text/html" }));
    expect(kept.length).toBeGreaterThan(2);
    expect(JSON.stringify(kept)).not.toContain("s3cret");
    expect(
      (await ask("/a", { cookie: "s3cret-1", authorization: "s3cret-1", accept: "text/html" })).said,
    ).toContain("hit");
    expect(
      (await ask("/a", { cookie: "s3cret-3", authorization: "s3cret-1", accept: "text/html" })).said,
    ).toContain("fwd=vary-miss");
  });

  it("refuses a credential as part of the key", () => {
    expect(() => httpCache({ keyHeaders: ["Cookie"] })).toThrow(
      expect.objectContaining({ code: "INVALID_OPTION" }),
    );
    expect(() => httpCache({ keyHeaders: ["x-user"], credentials })).toThrow("credential");
  });
});

describe("keys", () => {
  it(row(57, "keeps full responses by address, query and chosen headers"), async () => {
    origin = (request) =>
      answer(`${new URL(request.url).search}|${request.headers.get("x-tenant")}`, {
        "cache-control": "max-age=60",
      });
    const { ask } = make({ keyHeaders: ["X-Tenant"] });
    for (const [url, tenant] of [
      ["/a?x=1", "red"],
      ["/a?x=2", "red"],
      ["/a?x=1", "blue"],
      ["/b?x=1", "red"],
    ] as const)
      expect(await read(ask(url, { "x-tenant": tenant }))).toBe(
        `${new URL(url, "http://x").search}|${tenant}`,
      );
    expect(seen).toHaveLength(4);
    const again = await ask("/a?x=1", { "x-tenant": "blue" });
    expect([again.said.includes("hit"), await again.text()]).toEqual([true, "?x=1|blue"]);
    expect(await read(ask("/a?x=1"))).toBe("?x=1|null");
    expect(seen).toHaveLength(5);
  });

  it.each([
    ["http://SHOP:80/a%7eb/./c/../%e2#f", "http://shop/a~b/%E2"],
    ["http://shop/a?b=%41&c", "http://shop/a?b=A&c"],
  ])("takes %s and %s for one", async (one, other) => {
    const { ask } = make();
    await read(ask(one));
    expect((await ask(other)).said).toContain("hit");
  });

  it.each([
    ["/a?b=1", "/a?b=1&"],
    ["/a%2Fb", "/a/b"],
    ["/a?b=%26c", "/a?b=&c"],
    ["/A", "/a"],
    ["/a?x=1&y=2", "/a?y=2&x=1"],
  ])("takes %s and %s for two", async (one, other) => {
    const { ask } = make();
    await read(ask(one));
    expect((await ask(other)).said).toContain("fwd=uri-miss");
  });

  it("leaves out parameters, and the order of those with different names, where it is told to", async () => {
    const { ask } = make({ query: { exclude: ["utm_source"], sort: true } });
    await read(ask("/a?y=2&x=1&utm_source=mail&x=0"));
    expect((await ask("/a?x=1&x=0&y=2")).said).toContain("hit");
    expect((await ask("/a?x=0&x=1&y=2")).said).not.toContain("hit");
    const some = make({ query: { include: ["id"] } });
    await read(some.ask("/b?id=1&nonce=1"));
    expect((await some.ask("/b?nonce=2&id=1")).said).toContain("hit");
  });

  it("takes addresses of any length", async () => {
    const { ask } = make();
    const long = `/a?q=${"x".repeat(20_000)}`;
    await read(ask(long));
    expect((await ask(long)).said).toContain("hit");
    expect((await ask(`${long}y`)).said).not.toContain("hit");
  });
});

describe("Vary", () => {
  beforeEach(() => {
    origin = (request) =>
      answer(`${request.headers.get("accept-language")}`, {
        "cache-control": "max-age=60",
        vary: "Accept-Language",
      });
  });

  it("[§4.1] gives each what is like its request, and purges all of them", async () => {
    const { ask, cache } = make();
    for (const language of ["en", "de", "fr"])
      expect(await read(ask("/a", { "accept-language": language }))).toBe(language);
    expect(await read(ask("/a"))).toBe("null");
    expect(seen).toHaveLength(4);
    for (const language of ["en", "de", "fr"]) {
      const again = await ask("/a", { "accept-language": language });
      expect([again.said.includes("hit"), await again.text()]).toEqual([true, language]);
    }
    await cache.purge("http://shop/a");
    for (const language of ["en", "de", "fr"])
      expect((await ask("/a", { "accept-language": language })).said).not.toContain("hit");
  });

  it("takes spaces, case and, for codings, order as the same", async () => {
    const { ask } = make();
    await read(ask("/a", { "accept-language": "en-GB, de;q=0.5" }));
    expect((await ask("/a", { "accept-language": "en-gb,de; q=0.5" })).said).toContain("hit");
    expect((await ask("/a", { "accept-language": "de;q=0.5,en-gb" })).said).not.toContain("hit");
    origin = () => answer("x", { "cache-control": "max-age=60", vary: "accept-encoding" });
    await read(ask("/b", { "accept-encoding": "gzip, br" }));
    expect((await ask("/b", { "accept-encoding": "br,GZIP;q=1.0" })).said).toContain("hit");
    expect((await ask("/b", { "accept-encoding": "br" })).said).not.toContain("hit");
  });

  it("keeps a bounded number of them, however many there are, and never takes one for another", async () => {
    let entries = 0;
    const { ask } = make({
      maxVariants: 8,
      cache: (needs) => {
        const cache = createCache(needs);
        return Object.assign(Object.create(cache) as typeof cache, {
          get: async (key: string) => {
            entries = Math.max(entries, cache.snapshot().entries);
            return cache.get(key);
          },
          refresh: (key: string) => cache.refresh(key),
          close: () => cache.close(),
        });
      },
    });
    for (let round = 0; round < 2; round += 1)
      for (let at = 0; at < 100; at += 1)
        expect(await read(ask("/a", { "accept-language": `l${at}` }))).toBe(`l${at}`);
    expect(entries).toBeGreaterThan(2);
    expect(entries).toBeLessThanOrEqual(9);
  });

  it("follows a response that varies by something else than before", async () => {
    const { ask } = make();
    await read(ask("/a", { "accept-language": "en" }));
    await clock.advance("2m");
    origin = (request) =>
      answer(`${request.headers.get("accept")}`, { "cache-control": "max-age=60", vary: "accept" });
    await read(ask("/a", { accept: "a/a" }));
    expect(await read(ask("/a", { accept: "a/b" }))).toBe("a/b");
    expect(await read(ask("/a", { accept: "a/a", "accept-language": "en" }))).toBe("a/a");
    expect(seen).toHaveLength(3);
  });

  it("keeps nothing that varies by more fields than it looks at", async () => {
    const vary = Array.from({ length: 11 }, (_, at) => `x-${at}`).join(",");
    origin = () => answer("x", { "cache-control": "max-age=60", vary });
    const { ask } = make();
    await read(ask());
    expect((await ask()).said).not.toContain("hit");
  });
});

describe("validation", () => {
  beforeEach(() => {
    let version = 1;
    origin = (request) => {
      const tag = `"v${version}"`;
      const fields = { "cache-control": "max-age=10", etag: tag, "x-version": String(version) };
      if (request.url.endsWith("/change")) version += 1;
      if (request.headers.get("if-none-match") === tag)
        return answer(null, { ...fields, "x-count": String(seen.length) }, 304);
      return answer(`version ${version}`, { ...fields, "content-type": "text/plain" });
    };
  });

  it("[§4.3] asks whether it has changed, and takes new fields of a 304 with the old body", async () => {
    const { ask } = make();
    await read(ask());
    await clock.advance("11s");
    const second = await ask();
    expect(second.said).toBe("c; fwd=stale; fwd-status=304; stored");
    expect([await second.text(), second.headers.get("x-count"), second.headers.get("content-type")]).toEqual([
      "version 1",
      "2",
      "text/plain",
    ]);
    expect(seen[1]!.headers.get("if-none-match")).toBe('"v1"');
    await settle();
    const third = await ask();
    expect([third.said.includes("hit"), third.headers.get("age"), third.headers.get("x-count")]).toEqual([
      true,
      "0",
      "2",
    ]);
  });

  it("takes what is new instead", async () => {
    const { ask } = make();
    await read(ask());
    await read(ask("/change"));
    await clock.advance("11s");
    expect(await read(ask())).toBe("version 2");
    expect(await read(ask())).toBe("version 2");
    expect(seen).toHaveLength(3);
  });

  it("asks for all of it when a 304 is about something else", async () => {
    const { ask } = make();
    await read(ask());
    await clock.advance("11s");
    origin = (request) =>
      request.headers.has("if-none-match")
        ? answer(null, { etag: '"other"' }, 304)
        : answer("whole", { "cache-control": "max-age=10", etag: '"other"' });
    expect(await read(ask())).toBe("whole");
  });

  it("asks by Last-Modified where there is no tag", async () => {
    origin = (request) =>
      request.headers.has("if-modified-since")
        ? answer(null, {}, 304)
        : answer("x", { "cache-control": "max-age=10", "last-modified": "Fri, 20 Nov 2026 12:00:00 GMT" });
    const { ask } = make();
    await read(ask());
    await clock.advance("11s");
    expect((await ask()).said).toContain("fwd-status=304");
    expect(seen[1]!.headers.get("if-modified-since")).toBe("Fri, 20 Nov 2026 12:00:00 GMT");
    await settle();
    expect((await ask()).said).toContain("hit");
  });

  it("[§4.3.2] answers conditional requests of clients with 304, also from what was not there before", async () => {
    const { ask } = make();
    const first = await ask("/a", { "if-none-match": 'W/"v1", "v0"' });
    expect([first.status, await first.text()]).toEqual([304, ""]);
    expect(seen[0]!.headers.get("if-none-match")).toBeNull();
    await settle();
    const second = await ask("/a", { "if-none-match": '"v1"' });
    expect([
      second.status,
      second.headers.get("etag"),
      second.headers.get("content-type"),
      second.headers.get("age"),
    ]).toEqual([304, '"v1"', null, "0"]);
    expect((await ask("/a", { "if-none-match": '"v0"' })).status).toBe(200);
    expect((await ask("/a", { "if-none-match": "*" })).status).toBe(304);
    expect((await ask("/a", { "if-modified-since": "Sat, 21 Nov 2026 12:00:00 GMT" })).status).toBe(304);
    expect((await ask("/a", { "if-modified-since": "Sat, 21 Nov 2026 11:59:59 GMT" })).status).toBe(200);
    const both = await ask("/a", {
      "if-none-match": '"v0"',
      "if-modified-since": "Sat, 21 Nov 2026 12:00:00 GMT",
    });
    expect(both.status).toBe(200);
    expect(seen).toHaveLength(1);
  });

  it("[§5.2.2.4] no-cache is kept and validated each time", async () => {
    origin = (request) =>
      request.headers.has("if-none-match")
        ? answer(null, { etag: '"1"' }, 304)
        : answer("x", { "cache-control": "no-cache, max-age=60", etag: '"1"' });
    const { ask } = make();
    await read(ask());
    for (let time = 0; time < 2; time += 1) {
      const response = await ask();
      expect([response.said, await response.text()]).toEqual(["c; fwd=stale; fwd-status=304; stored", "x"]);
      await settle();
    }
  });

  it("keeps what can be validated for a while after its time, and no longer", async () => {
    const { ask } = make({ keepStale: "1m" });
    await read(ask());
    await clock.advance("69s");
    await read(ask());
    expect(seen[1]!.headers.has("if-none-match")).toBe(true);
    await clock.advance("70s");
    await read(ask());
    expect(seen[2]!.headers.has("if-none-match")).toBe(false);
  });
});

describe("staleness", () => {
  it("[RFC 5861 §3] serves it after its time while one request brings a new one", async () => {
    let version = 1;
    origin = () => answer(`v${version++}`, { "cache-control": "max-age=10, stale-while-revalidate=20" });
    const { ask } = make();
    await read(ask());
    await clock.advance("15s");
    const asked = await Promise.all(Array.from({ length: 10 }, () => ask()));
    expect(asked.map(({ said }) => said)).toEqual(Array.from({ length: 10 }, () => "c; hit; ttl=-5"));
    await settle();
    expect(seen).toHaveLength(2);
    const next = await ask();
    expect([next.said, await next.text()]).toEqual(["c; hit; ttl=10", "v2"]);
    await clock.advance("31s");
    expect(await read(ask())).toBe("v3");
  });

  it("does so with s-maxage too, since the response itself says how long; never with must-revalidate", async () => {
    for (const [control, isServed] of [
      ["s-maxage=10, stale-while-revalidate=20", true],
      ["max-age=10, stale-while-revalidate=20, must-revalidate", false],
      ["max-age=10, stale-while-revalidate=20, proxy-revalidate", false],
      ["max-age=10, stale-while-revalidate=20, no-cache", false],
    ] as const) {
      origin = () => answer("x", { "cache-control": control, etag: '"1"' });
      const { ask } = make();
      await read(ask());
      await clock.advance("15s");
      expect((await ask()).said.includes("hit"), control).toBe(isServed);
      await settle();
    }
  });

  it("does not ask again at once when that fails, and tells of it", async () => {
    origin = () => answer("x", { "cache-control": "max-age=10, stale-while-revalidate=60" });
    const told: string[] = [];
    const { ask } = make({ onError: ({ message }) => told.push(message) });
    await read(ask());
    await clock.advance("15s");
    origin = () => Promise.reject(new Error("down"));
    for (let time = 0; time < 5; time += 1) {
      expect((await ask()).status).toBe(200);
      await settle();
    }
    expect([seen.length, told]).toEqual([2, ["down"]]);
    await clock.advance("1s");
    await read(ask());
    expect(seen).toHaveLength(3);
  });

  it.each([
    ["what is thrown", () => Promise.reject(new Error("down"))],
    ["500", () => answer("oh", {}, 500)],
    ["503", () => answer("oh", {}, 503)],
  ])("[RFC 5861 §4] serves it when validating ends in %s, as long as it says", async (_, failing: Origin) => {
    origin = () => answer("x", { "cache-control": "max-age=10, stale-if-error=60" });
    const { ask } = make();
    await read(ask());
    const fine = origin;
    origin = failing;
    await clock.advance("20s");
    const first = await ask();
    expect([first.status, first.said.includes("stale-if-error"), await first.text()]).toEqual([
      200,
      true,
      "x",
    ]);
    // Not each of them asks.
    for (let time = 0; time < 5; time += 1) expect((await ask()).status).toBe(200);
    expect(seen).toHaveLength(2);
    await clock.advance("49s");
    expect((await ask()).status).toBe(200);
    await clock.advance("2s");
    const late = await ask().then(
      ({ status }) => status,
      () => 500,
    );
    expect(late).toBeGreaterThanOrEqual(500);
    origin = fine;
    expect(await read(ask())).toBe("x");
  });

  it("[§5.2.2.2] must-revalidate hands the failure on", async () => {
    origin = () =>
      answer("x", { "cache-control": "max-age=10, stale-if-error=60, must-revalidate", etag: '"1"' });
    const { ask } = make();
    await read(ask());
    await clock.advance("20s");
    origin = () => Promise.reject(new Error("down"));
    await expect(ask()).rejects.toThrow("down");
    origin = () => answer("oh", {}, 503);
    expect((await ask()).status).toBe(503);
  });

  it("keeps what it has when the origin fails, and asks with it again", async () => {
    origin = () => answer("x", { "cache-control": "max-age=10", etag: '"1"' });
    const { ask } = make();
    await read(ask());
    await clock.advance("11s");
    origin = () => answer("oh", {}, 500);
    expect((await ask()).status).toBe(500);
    await settle();
    origin = () => answer(null, { etag: '"1"' }, 304);
    const after = await ask();
    expect([after.status, await after.text(), seen[2]!.headers.get("if-none-match")]).toEqual([
      200,
      "x",
      '"1"',
    ]);
  });
});

describe("requests at once", () => {
  const gated = () => {
    const waiting: ((response: Response) => void)[] = [];
    origin = () => new Promise((resolve) => waiting.push(resolve));
    return waiting;
  };

  it("[§4] one of them asks, and all are answered", async () => {
    const waiting = gated();
    const { ask } = make();
    const asked = Array.from({ length: 100 }, () => ask());
    await settle();
    expect(waiting).toHaveLength(1);
    waiting[0]!(answer("x", { "cache-control": "max-age=60" }));
    const responses = await Promise.all(asked);
    expect(new Set(await Promise.all(responses.map((response) => response.text())))).toEqual(new Set(["x"]));
    expect(responses.filter(({ said }) => said === "c; hit; ttl=60; collapsed")).toHaveLength(99);
    expect(seen).toHaveLength(1);
  });

  it("each of them asks for what cannot be kept, none after the other", async () => {
    const waiting = gated();
    const { ask } = make();
    const asked = Array.from({ length: 10 }, () => ask());
    await settle();
    waiting[0]!(answer("0", { "cache-control": "private" }));
    await settle();
    expect(waiting).toHaveLength(10);
    for (const [at, resolve] of waiting.entries())
      resolve(answer(String(at), { "cache-control": "private" }));
    const bodies = await Promise.all(asked.map(async (response) => (await response).text()));
    expect(new Set(bodies).size).toBe(10);
    // From now on they do not wait for each other at all.
    const more = Array.from({ length: 10 }, () => ask());
    await settle();
    expect(waiting).toHaveLength(20);
    for (const resolve of waiting.slice(10)) resolve(answer("x", {}));
    await Promise.all(more);
  });

  it("is told apart by variants: those of another one wait for their own", async () => {
    const waiting = gated();
    const { ask } = make();
    const en = Array.from({ length: 5 }, () => ask("/a", { "accept-language": "en" }));
    const de = Array.from({ length: 5 }, () => ask("/a", { "accept-language": "de" }));
    await settle();
    const vary = { "cache-control": "max-age=60", vary: "accept-language" };
    waiting[0]!(answer("en", vary));
    await settle();
    expect(waiting).toHaveLength(2);
    waiting[1]!(answer("de", vary));
    expect(await Promise.all(en.map(async (response) => (await response).text()))).toEqual(
      Array(5).fill("en"),
    );
    expect(await Promise.all(de.map(async (response) => (await response).text()))).toEqual(
      Array(5).fill("de"),
    );
  });

  it("waits for another only so long", async () => {
    const waiting = gated();
    const { ask } = make({ collapseFor: "2s" });
    const first = ask();
    await settle();
    const second = ask();
    await clock.advance("2s");
    expect(waiting).toHaveLength(2);
    waiting[1]!(answer("second", { "cache-control": "max-age=60" }));
    expect(await (await second).text()).toBe("second");
    waiting[0]!(answer("first", { "cache-control": "max-age=60" }));
    expect(await (await first).text()).toBe("first");
  });

  it("leaves the others what it has asked when it goes; with nobody left it asks no more", async () => {
    const waiting = gated();
    const { ask } = make();
    const stop = new AbortController();
    const leaving = ask("/a", {}, { signal: stop.signal });
    await settle();
    const staying = ask();
    await settle();
    stop.abort(new Error("left"));
    await expect(leaving).rejects.toThrow("left");
    expect(seen[0]!.signal.aborted).toBe(false);
    waiting[0]!(answer("x", { "cache-control": "max-age=60" }));
    expect(await (await staying).text()).toBe("x");

    const alone = new AbortController();
    const gone = ask("/b", {}, { signal: alone.signal });
    await settle();
    alone.abort(new Error("gone"));
    await expect(gone).rejects.toThrow("gone");
    expect(seen[1]!.signal.aborted).toBe(true);
  });

  it("stops an answer that is for nobody else when whoever asked goes", async () => {
    const { ask } = make();
    const stream = slowly({ "cache-control": "private" });
    origin = stream.response;
    const stop = new AbortController();
    await ask("/a", {}, { signal: stop.signal });
    expect(seen[0]!.signal.aborted).toBe(false);
    stop.abort();
    expect(seen[0]!.signal.aborted).toBe(true);
  });

  it("gives no failure to those who have not asked", async () => {
    const failing: ((error: Error) => void)[] = [];
    origin = () => new Promise((_, reject) => failing.push(reject));
    const { ask } = make();
    const first = ask();
    await settle();
    const second = ask();
    await settle();
    failing[0]!(new Error("not for you"));
    await expect(first).rejects.toThrow("not for you");
    await settle();
    expect(failing).toHaveLength(2);
    failing[1]!(new Error("second"));
    await expect(second).rejects.toThrow("second");
  });
});

describe("bodies", () => {
  it("are sent on while they come, kept when they are whole", async () => {
    const stream = slowly({ "cache-control": "max-age=60" });
    origin = stream.response;
    const { ask } = make();
    const response = await ask();
    const reader = response.body!.getReader();
    stream.send("one ");
    expect(new TextDecoder().decode((await reader.read()).value)).toBe("one ");
    stream.send("two");
    stream.end();
    await settle();
    const second = await ask();
    expect([second.said.includes("hit"), await second.text(), second.headers.get("content-length")]).toEqual([
      true,
      "one two",
      "7",
    ]);
  });

  it("are kept even if whoever asked leaves or reads slowly", async () => {
    const stream = slowly({ "cache-control": "max-age=60" });
    origin = stream.response;
    const { ask } = make();
    const response = await ask();
    stream.send("one ");
    await response.body!.cancel();
    stream.send("two");
    stream.end();
    await settle();
    expect(await read(ask())).toBe("one two");
    expect(stream.isCancelled).toBe(false);
  });

  it("are not kept when they are long, nor read ahead; whoever asked gets all", async () => {
    const { ask } = make({ maxBodyBytes: 10 });
    let pulled = 0;
    const long = () =>
      new ReadableStream<Uint8Array>(
        {
          pull: (controller) => {
            pulled += 1;
            if (pulled > 50) controller.close();
            else controller.enqueue(new Uint8Array(4));
          },
        },
        { highWaterMark: 0 },
      );
    origin = () => new Response(long(), { headers: { "cache-control": "max-age=60" } });
    const response = await ask();
    await settle();
    expect(pulled).toBeLessThanOrEqual(4);
    expect((await response.arrayBuffer()).byteLength).toBe(200);
    await settle();
    pulled = 0;
    expect((await ask()).said).not.toContain("hit");
    origin = () => answer("x".repeat(11), { "cache-control": "max-age=60", "content-length": "11" });
    await clock.advance("11s");
    expect((await ask("/b")).said).toBe("c; fwd=uri-miss; fwd-status=200; detail=too-large");
  });

  it("stop coming when whoever asked for a long one leaves", async () => {
    const stream = slowly({ "cache-control": "max-age=60" });
    origin = stream.response;
    const { ask } = make({ maxBodyBytes: 3 });
    const response = await ask();
    stream.send("too long");
    await settle();
    await response.body!.cancel();
    await settle();
    expect(stream.isCancelled).toBe(true);
  });

  it("[§3.3] are not kept when they end too early, by failing or by their length", async () => {
    const { ask } = make();
    const failing = slowly({ "cache-control": "max-age=60" });
    origin = failing.response;
    const response = await ask();
    failing.send("half");
    failing.fail(new Error("reset"));
    await expect(response.text()).rejects.toThrow("reset");
    origin = () => answer("half", { "cache-control": "max-age=60", "content-length": "8" });
    await settle();
    expect((await ask()).said).not.toContain("hit");
    await settle();
    expect((await ask()).said).not.toContain("hit");
  });

  it("are the cache's own: what a reader does to its bytes changes nothing", async () => {
    const { ask } = make();
    const stream = slowly({ "cache-control": "max-age=60" });
    origin = stream.response;
    const reader = (await ask()).body!.getReader();
    stream.send("body");
    (await reader.read()).value!.fill(0);
    stream.end();
    await settle();
    const second = new Uint8Array(await (await ask()).arrayBuffer());
    expect(new TextDecoder().decode(second)).toBe("body");
    second.fill(0);
    expect(await read(ask())).toBe("body");
  });
});

describe("other methods", () => {
  it("answers HEAD from what is kept of GET, and keeps nothing of HEAD", async () => {
    const { ask } = make();
    expect((await ask("/a", {}, { method: "HEAD" })).said).toContain("fwd=method");
    await read(ask());
    const head = await ask("/a", {}, { method: "HEAD" });
    expect([head.said, head.headers.get("content-length"), await head.text()]).toEqual([
      "c; hit; ttl=60",
      "4",
      "",
    ]);
    expect(seen.map(({ method }) => method)).toEqual(["HEAD", "GET"]);
  });

  it("[§4.4] forgets what a request changes: its address, Location and Content-Location of the same origin", async () => {
    for (const method of ["POST", "PUT", "PATCH", "DELETE", "FROBNICATE"]) {
      const { ask } = make();
      for (const url of ["/a", "/b", "/c", "http://other/d"]) await read(ask(url));
      const get = origin;
      origin = () => answer(null, { location: "/b", "content-location": "http://other/d" }, 201);
      await ask("/a", {}, { method });
      origin = get;
      const hits = [];
      for (const url of ["/a", "/b", "/c", "http://other/d"])
        hits.push((await ask(url)).said.includes("hit"));
      expect(hits, method).toEqual([false, false, true, true]);
    }
  });

  it("answers a change only when it has been forgotten everywhere", async () => {
    const { ask } = make({
      cache: (needs) => {
        const cache = createCache(needs);
        return {
          get: (key) => cache.get(key),
          refresh: (key) => cache.refresh(key),
          invalidateTag: async (tag) => {
            await clock.sleep("1s");
            await Promise.resolve(cache.invalidateTag(tag));
          },
          clear: () => cache.clear(),
          close: () => cache.close(),
        };
      },
    });
    await read(ask());
    const changing = ask("/a", {}, { method: "PUT" });
    let isAnswered = false;
    void changing.then(() => {
      isAnswered = true;
    });
    await settle();
    expect(isAnswered).toBe(false);
    await clock.advance("1s");
    await changing;
    expect((await ask()).said).not.toContain("hit");
  });

  it("forgets nothing for a refusal, and everything of it when it is not known how it ended", async () => {
    const { ask } = make();
    await read(ask());
    const get = origin;
    origin = () => answer(null, {}, 403);
    await ask("/a", {}, { method: "POST" });
    origin = get;
    expect((await ask()).said).toContain("hit");
    origin = () => Promise.reject(new Error("lost"));
    await expect(ask("/a", {}, { method: "POST" })).rejects.toThrow("lost");
    origin = get;
    expect((await ask()).said).not.toContain("hit");
    await settle();
    origin = () => answer(null, {}, 500);
    await ask("/a", {}, { method: "POST" });
    origin = get;
    expect((await ask()).said).not.toContain("hit");
  });

  it("keeps nothing that was asked for before a change and answered after it", async () => {
    let resolve: (response: Response) => void = () => {};
    origin = () =>
      new Promise((done) => {
        resolve = done;
      });
    const { ask } = make();
    const early = ask();
    await settle();
    origin = () => answer(null, {}, 204);
    await ask("/a", {}, { method: "PUT" });
    resolve(answer("old", { "cache-control": "max-age=60" }));
    expect(await read(early)).toBe("old");
    origin = () => answer("new", { "cache-control": "max-age=60" });
    expect(await read(ask())).toBe("new");
  });

  it("hands on what only the origin can judge: ranges and preconditions", async () => {
    const { ask } = make();
    await read(ask());
    for (const headers of [
      { range: "bytes=0-1" },
      { "if-match": '"1"' },
      { "if-unmodified-since": "Sat, 21 Nov 2026 12:00:00 GMT" },
    ] as Record<string, string>[])
      expect((await ask("/a", headers)).said).toBe("c; fwd=bypass; fwd-status=200");
    expect((await ask("/a", {}, { method: "OPTIONS" })).said).toBe("c; fwd=method; fwd-status=200");
    expect(seen).toHaveLength(5);
  });
});

describe("purging", () => {
  it(row(58, "forgets by address and by tag, also what is under way"), async () => {
    const tags: Record<string, Record<string, string>> = {
      "/a": { "surrogate-key": "shop product:1" },
      "/b": { "cache-tag": "shop,product:2" },
      "/c": {},
    };
    origin = (request) =>
      answer("x", { "cache-control": "max-age=60", ...tags[new URL(request.url).pathname] });
    const { ask, cache } = make();
    const hits = async () => {
      const all = [];
      for (const url of ["/a", "/b", "/c"]) {
        all.push((await ask(url)).said.includes("hit"));
        await settle();
      }
      return all;
    };
    await hits();
    expect(await hits()).toEqual([true, true, true]);
    await cache.purgeTag("product:1");
    expect(await hits()).toEqual([false, true, true]);
    await cache.purgeTag("shop");
    expect(await hits()).toEqual([false, false, true]);
    await cache.purge(new URL("http://shop/c#x"));
    expect(await hits()).toEqual([true, true, false]);
    await cache.purgeAll();
    expect(await hits()).toEqual([false, false, false]);
    await expect(cache.purge("nowhere")).rejects.toMatchObject({ code: "INVALID_OPTION" });
  });

  it("keeps nothing whose tags could not be remembered", async () => {
    origin = () =>
      answer("x", {
        "cache-control": "max-age=60",
        "surrogate-key": Array.from({ length: 91 }, (_, at) => `k${at}`).join(" "),
      });
    const { ask } = make();
    expect((await ask()).said).toContain("detail=tags");
  });
});

describe("a cache of responses", () => {
  it("keeps no fields of a connection, and says what it did behind what others said", async () => {
    origin = () =>
      answer("x", {
        "cache-control": "max-age=60",
        connection: "close, x-hop",
        "x-hop": "1",
        "keep-alive": "timeout=5",
        "x-kept": "1",
        "cache-status": "inner; hit",
      });
    const { ask } = make();
    expect((await ask()).said).toBe("inner; hit, c; fwd=uri-miss; fwd-status=200; stored");
    await settle();
    const second = await ask();
    expect([
      second.said,
      second.headers.get("x-kept"),
      second.headers.get("x-hop"),
      second.headers.get("connection"),
    ]).toEqual(["c; hit; ttl=60", "1", null, null]);
    const quiet = make({ cacheStatus: false });
    expect((await quiet.ask("/q")).said).toBe("inner; hit");
  });

  it("takes what is garbled, or of another version, for nothing", async () => {
    const garbled: unknown[] = [null, 7, "x", {}, { version: 99 }, { version: 1, body: "text" }];
    const { ask } = make({
      cache: (needs) => {
        const cache = createCache(needs);
        return {
          get: async (key) => (garbled.length > 0 ? (garbled.pop() as never) : cache.get(key)),
          refresh: (key) => cache.refresh(key),
          invalidateTag: (tag) => cache.invalidateTag(tag),
          clear: () => cache.clear(),
          close: () => cache.close(),
        };
      },
    });
    for (let time = 0; time < 8; time += 1) expect(await read(ask())).toBe("body");
    expect((await ask()).said).toContain("hit");
  });

  it("forwards when what it keeps things in fails", async () => {
    const { ask } = make({
      cache: () => ({
        get: () => Promise.reject(new Error("store down")),
        refresh: () => Promise.reject(new Error("store down")),
        invalidateTag: () => Promise.reject(new Error("store down")),
        clear: () => undefined,
        close: () => Promise.resolve(),
      }),
      onError: () => {},
    });
    const response = await ask();
    expect([response.status, response.said]).toEqual([
      200,
      "c; fwd=bypass; fwd-status=200; detail=unavailable",
    ]);
    expect((await ask("/a", {}, { method: "POST" })).status).toBe(200);
  });

  it("forwards when what it keeps things in takes too long", async () => {
    const { ask } = make({
      cache: () => ({
        get: () => new Promise(() => {}),
        refresh: () => new Promise(() => {}),
        invalidateTag: () => undefined,
        clear: () => undefined,
        close: () => Promise.resolve(),
      }),
    });
    const asked = ask();
    await clock.advance("5s");
    expect((await asked).said).toContain("detail=unavailable");
    expect(clock.pendingTimers).toBe(0);
  });

  it("forgets every question that was asked, or was not", async () => {
    const questions = new Questions();
    const fills: Fill[] = [];
    const fillFor = async (next: Origin): Promise<Fill> => {
      const settings = httpSettingsOf({ clock });
      fills.push(new Fill(await askerOf(new Request("http://shop/a"), settings), next, undefined, settings));
      return fills.at(-1)!;
    };
    const store = (get: () => Promise<undefined>) => ({
      get,
      refresh: get,
      invalidateTag: () => undefined,
      clear: () => undefined,
      close: () => Promise.resolve(),
    });
    const { signal } = new AbortController();
    const asks = async (): Promise<undefined> => {
      await questions.load("k", signal).catch(() => {});
      return undefined;
    };
    for (const next of [origin, () => Promise.reject(new Error("down"))])
      for (const get of [asks, async () => undefined, () => Promise.reject(new Error("store"))]) {
        await questions.get(store(get), "k", await fillFor(next)).catch(() => {});
        questions.ask(store(get), "k", await fillFor(next));
        await settle();
        expect(questions.of("k")).toBeUndefined();
        expect(await questions.load("k", signal)).toBeUndefined();
      }
    expect(fills.filter(({ isStarted }) => isStarted)).toHaveLength(4);
    await Promise.all(fills.map(({ landed }) => landed));
  });

  it("forwards after it was closed, and leaves no timer behind", async () => {
    const { ask, cache } = make();
    await read(ask());
    await cache.close();
    expect((await ask()).said).toBe("");
    expect(clock.pendingTimers).toBe(0);
  });

  it("publishes how requests were answered", async () => {
    const events: HttpCacheEvent[] = [];
    const stop = channel<HttpCacheEvent>("cache", "http").subscribe((event) => events.push(event));
    const { ask } = make();
    await read(ask());
    await ask();
    await ask("/a", { range: "bytes=0-1" });
    stop();
    expect(events).toEqual([
      { cache: "c", result: "miss", status: 200, stored: true, collapsed: false },
      { cache: "c", result: "hit", status: 200, stored: false, collapsed: false },
      { cache: "c", result: "bypass", status: 200, stored: false, collapsed: false },
    ]);
  });

  it.each([
    ["name", { name: "a b" }],
    ["maxBodyBytes", { maxBodyBytes: -1 }],
    ["credentials", { credentials: ["a b"] }],
    ["keyHeaders", { keyHeaders: Array.from({ length: 11 }, (_, at) => `x-${at}`) }],
    ["query.include", { query: { include: "x" as never } }],
    ["setCookie", { setCookie: "keep" as never }],
    ["heuristicFreshness", { heuristicFreshness: 2 }],
    ["collapseFor", { collapseFor: "soon" as never }],
  ] as const)("refuses %s out of range", (option, options) => {
    expect(() => httpCache(options as HttpCacheOptions)).toThrow(option);
  });
});

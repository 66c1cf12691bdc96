// Whoever asks for what, in whatever order and at once: nobody is given another's answer, nor one from before a change.
import { setImmediate as immediate } from "node:timers/promises";
import type { Clock } from "@holdfast/core";
import { withMiddleware } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import { createCache } from "@holdfast/cache";
import type { HttpCacheNeeds, HttpCacheStore } from "@holdfast/cache/http";
import { httpCache } from "@holdfast/cache/http";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const CONTROLS = [
  "max-age=10",
  "max-age=10",
  "public, max-age=10",
  "public, max-age=10",
  "s-maxage=10, stale-while-revalidate=10",
  "max-age=10, must-revalidate",
  "max-age=5, stale-if-error=20",
  "private, max-age=10",
  "no-store",
  "no-cache, public",
  "",
];

const path = fc.nat(1);
/** One of the first kind seven times out of eight. */
const mostly = <T>(usual: T, ...others: T[]): fc.Arbitrary<T> =>
  fc.nat(7).chain((draw) => (draw > 0 ? fc.constant(usual) : fc.constantFrom(...others)));

const user = fc.constantFrom(undefined, undefined, undefined, "a", "b");
const who = fc.record({
  authorization: user,
  cookie: user,
  language: fc.constantFrom(undefined, "en", "de"),
});

const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("get" as const),
      path,
      who,
      control: mostly("", "no-cache", "max-stale", "only-if-cached", "no-store", "max-age=3"),
      leaves: mostly(false, true),
    }),
  },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("answer" as const), index: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("fail" as const), index: fc.nat(20) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("pass" as const),
      ms: fc.constantFrom(1, 1_000, 6_000, 12_000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("change" as const),
      path,
      by: fc.constantFrom("purge", "tag", "put"),
    }),
  },
);

const resource = fc.record({
  control: fc.constantFrom(...CONTROLS),
  vary: fc.constantFrom("", "", "accept-language", "cookie", "authorization, accept-language"),
  hasTag: fc.boolean(),
  setsCookie: mostly(false, true),
});

/** An answer: which version, made for whom. */
interface Body {
  readonly version: number;
  readonly path: number;
  readonly authorization: string | null;
  readonly cookie: string | null;
  readonly language: string | null;
}

function isForAll(control: string): boolean {
  return /public|s-maxage/.test(control);
}

/** A store that takes time for everything, before it looks and before it loads, as one on another machine does. */
function farAway(needs: HttpCacheNeeds, clock: Clock, ms: number): HttpCacheStore {
  const cache = createCache({
    ...needs,
    load: async (key, context) => {
      await clock.sleep(ms);
      return needs.load(key, context);
    },
  });
  return {
    get: async (key) => {
      await clock.sleep(ms);
      return cache.get(key);
    },
    refresh: async (key) => {
      await clock.sleep(ms);
      return cache.refresh(key);
    },
    invalidateTag: async (tag) => {
      await clock.sleep(ms);
      await Promise.resolve(cache.invalidateTag(tag));
      await clock.sleep(ms);
    },
    clear: () => cache.clear(),
    close: () => cache.close(),
  };
}

describe("a shared cache", () => {
  it("gives nobody what was made for another, nor what is from before a change that was over", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { size: "max", minLength: 10, maxLength: 80 }),
        fc.tuple(resource, resource),
        fc.constantFrom(undefined, 0, 2),
        async (plan, resources, storeMs) => {
          const clock = manualClock(Date.parse("2026-11-21T12:00:00Z"));
          const cache = httpCache({
            clock,
            collapseFor: "3s",
            ...(storeMs === undefined
              ? {}
              : { cache: (needs: HttpCacheNeeds) => farAway(needs, clock, storeMs) }),
          });
          const versions = [1, 1];
          const oldest = [1, 1];
          const pending: { readonly answer: () => void; readonly fail: () => void }[] = [];
          const problems: string[] = [];

          const origin = (request: Request): Response | Promise<Response> => {
            const at = Number(new URL(request.url).pathname.slice(1));
            if (request.method !== "GET") return new Response(null, { status: 204 });
            const { control, vary, hasTag, setsCookie } = resources[at]!;
            const header = (name: string): string | null => request.headers.get(name);
            const body: Body = {
              version: versions[at]!,
              path: at,
              authorization: isForAll(control) ? null : header("authorization"),
              cookie: isForAll(control) && !vary.includes("cookie") ? null : header("cookie"),
              language: header("accept-language"),
            };
            const tag = `"${Buffer.from(JSON.stringify(body)).toString("base64")}"`;
            const headers = new Headers({
              date: new Date(clock.now()).toUTCString(),
              "surrogate-key": `p${at}`,
            });
            if (control !== "") headers.set("cache-control", control);
            if (vary !== "") headers.set("vary", vary);
            if (hasTag) headers.set("etag", tag);
            if (setsCookie) headers.set("set-cookie", `for=${header("authorization")}/${header("cookie")}`);
            const isSame = hasTag && header("if-none-match") === tag;
            return new Promise((resolve, reject) =>
              pending.push({
                answer: () =>
                  resolve(
                    new Response(isSame ? null : JSON.stringify(body), {
                      status: isSame ? 304 : 200,
                      headers,
                    }),
                  ),
                fail: () => reject(new Error("down")),
              }),
            );
          };
          const handler = withMiddleware(origin, cache.middleware);

          const check = async (response: Response, request: Request, least: number): Promise<void> => {
            const at = Number(new URL(request.url).pathname.slice(1));
            const { control, vary } = resources[at]!;
            const mine = (name: string): string | null => request.headers.get(name);
            const cookie = response.headers.get("set-cookie");
            if (cookie !== null && cookie !== `for=${mine("authorization")}/${mine("cookie")}`)
              problems.push(`${cookie} for ${mine("authorization")}/${mine("cookie")}`);
            if (response.status !== 200) return;
            const body = JSON.parse(await response.text()) as Body;
            if (body.path !== at) problems.push("another address");
            if (body.version < least) problems.push(`version ${body.version} instead of ${least}`);
            if (vary.includes("accept-language") && body.language !== mine("accept-language"))
              problems.push("another variant");
            if (vary.includes("cookie") && body.cookie !== mine("cookie"))
              problems.push("another variant by cookie");
            if (isForAll(control)) return;
            if (body.cookie !== mine("cookie"))
              problems.push(`cookie ${body.cookie} for ${mine("cookie")} (${control})`);
            if (control.includes("must-revalidate")) return;
            if (body.authorization !== mine("authorization"))
              problems.push(`authorization ${body.authorization} for ${mine("authorization")} (${control})`);
          };

          const open: Promise<void>[] = [];
          for (const one of plan) {
            if (one.kind === "get") {
              const headers = new Headers();
              if (one.who.authorization !== undefined) headers.set("authorization", one.who.authorization);
              if (one.who.cookie !== undefined) headers.set("cookie", one.who.cookie);
              if (one.who.language !== undefined) headers.set("accept-language", one.who.language);
              if (one.control !== "") headers.set("cache-control", one.control);
              const stop = new AbortController();
              const request = new Request(`http://shop/${one.path}`, { headers, signal: stop.signal });
              const least = oldest[one.path]!;
              open.push(
                Promise.resolve(handler(request)).then(
                  (response) => check(response, request, least),
                  () => {},
                ),
              );
              await clock.advance(0);
              if (one.leaves) stop.abort(new Error("left"));
            } else if (one.kind === "answer" || one.kind === "fail") {
              const [work] = pending.splice(one.index % Math.max(1, pending.length), 1);
              if (one.kind === "answer") work?.answer();
              else work?.fail();
            } else if (one.kind === "pass") await clock.advance(one.ms);
            else {
              // The source changes, then it is said: nothing from before is served to who asks after that.
              versions[one.path]! += 1;
              const { by } = one;
              const changing =
                by === "purge"
                  ? cache.purge(`http://shop/${one.path}`)
                  : by === "tag"
                    ? cache.purgeTag(`p${one.path}`)
                    : handler(new Request(`http://shop/${one.path}`, { method: "PUT" }));
              await Promise.all([changing, clock.advance(10)]);
              oldest[one.path] = versions[one.path]!;
            }
            await clock.advance(0);
          }
          let left = open.length;
          for (const asking of open)
            void asking.then(() => {
              left -= 1;
            });
          // Digests are made on another thread, which takes what it takes: whatever hangs is ended by the runner.
          for (;;) {
            if (left === 0) break;
            for (const work of pending.splice(0)) work.answer();
            await clock.advance("1s");
            await immediate();
          }
          expect(problems).toEqual([]);
          await cache.close();
          // What the store far away was about to do.
          await clock.advance(10);
          expect(clock.pendingTimers).toBe(0);
        },
      ),
      { numRuns: 400 },
    );
  });
});

// Two caches of responses over one Redis: what one has kept the other serves, and a purge is for both.
import { withMiddleware } from "@holdfast/core";
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import { createCache, sharedTier } from "@holdfast/cache";
import { httpCache } from "@holdfast/cache/http";
import { redisCacheStore } from "@holdfast/cache/redis";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { freshKeys } from "../../../tools/services/index.mjs";
import { row } from "../../../tools/systems/row.mjs";

const redisUrl = inject("redisUrl");

describe.skipIf(redisUrl === "")("caches of responses that share a Redis", () => {
  const keys = freshKeys(redisUrl);
  let client: Redis;
  beforeAll(() => {
    client = new Redis(redisUrl, REDIS_CLIENT_OPTIONS);
  });
  afterAll(async () => {
    client.disconnect();
    await keys.drop();
  });

  /** A process: a cache of its own around an origin that all have. */
  function edge(origin: (request: Request) => Response | Promise<Response>) {
    const store = redisCacheStore({ client, prefix: keys.prefix, deadline: "5s" });
    const cache = httpCache({
      cache: (needs) => createCache({ ...needs, share: sharedTier({ store, coherence: 0 }) }),
    });
    const handler = withMiddleware(async (request) => origin(request), cache.middleware);
    const ask = async (url: string, init: RequestInit = {}): Promise<Response> =>
      handler(new Request(url, init));
    return { cache, ask };
  }

  it(
    row(57, "serve by address, fields and query what any of them has kept, and forget it together"),
    async () => {
      let asked = 0;
      const origin = ({ url, headers }: Request): Response =>
        new Response(`${(asked += 1)} ${new URL(url).search} ${headers.get("accept-language") ?? ""}`, {
          headers: { "cache-control": "s-maxage=60", vary: "accept-language", "cache-tag": "books" },
        });
      const [one, two] = [edge(origin), edge(origin)];
      const text = async (answer: Promise<Response>): Promise<string> => (await answer).text();
      const german = { headers: { "accept-language": "de" } };
      const first = await text(one.ask("http://shop/books?page=1"));
      expect(await text(two.ask("http://shop/books?page=1"))).toBe(first);
      expect(await text(two.ask("http://shop/books?page=2"))).toBe("2 ?page=2 ");
      expect(await text(one.ask("http://shop/books?page=1", german))).toBe("3 ?page=1 de");
      expect(await text(two.ask("http://shop/books?page=1", german))).toBe("3 ?page=1 de");
      expect(asked).toBe(3);
      await one.cache.purgeTag("books");
      expect(await text(two.ask("http://shop/books?page=1"))).toBe("4 ?page=1 ");
      await two.cache.purge("http://shop/books?page=1");
      expect(await text(one.ask("http://shop/books?page=1"))).toBe("5 ?page=1 ");
      await Promise.all([one.cache.close(), two.cache.close()]);
    },
  );

  it("ask the origin once for what many want from all of them, and give nobody what is another's", async () => {
    let asked = 0;
    const origin = async ({ url, headers }: Request): Promise<Response> => {
      asked += 1;
      await new Promise((resolve) => setTimeout(resolve, 100));
      const isPrivate = url.endsWith("/me");
      return new Response(isPrivate ? `for ${headers.get("authorization")}` : "for all", {
        headers: { "cache-control": isPrivate ? "private, max-age=60" : "public, max-age=60" },
      });
    };
    const all = [edge(origin), edge(origin)];
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, index) => all[index % 2]!.ask("http://shop/storm")),
    );
    expect(new Set(await Promise.all(answers.map((answer) => answer.text())))).toEqual(new Set(["for all"]));
    expect(asked).toBe(1);
    const own = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const headers = { authorization: `user ${index}` };
        return (await all[index % 2]!.ask("http://shop/me", { headers })).text();
      }),
    );
    expect(own).toEqual(Array.from({ length: 20 }, (_, index) => `for user ${index}`));
    expect(await client.keys(`${keys.prefix}*me*`)).toEqual([]);
    await Promise.all(all.map(({ cache }) => cache.close()));
  });
});

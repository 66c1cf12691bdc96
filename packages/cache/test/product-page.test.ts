// A page of three parts that change at different times: each has a layer and a trigger of its own.
import { withMiddleware } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import { createCache, memoryCacheStore, sharedTier } from "@holdfast/cache";
import { httpCache } from "@holdfast/cache/http";
import { describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";

interface Changed {
  readonly kind: "article" | "review";
  readonly sku: string;
}

describe("a product page", () => {
  it(
    row(67, "renews each part by its own trigger, and the whole when a part that matters has changed"),
    async () => {
      const clock = manualClock();
      const database = { details: "lamp, 20", reviews: ["good"], together: "bulb" };
      const asked = { details: 0, reviews: 0, together: 0, page: 0 };
      const share = sharedTier({ store: memoryCacheStore({ clock }), coherence: 0 });
      const common = { clock, jitter: 0, share };
      const details = createCache({
        ...common,
        name: "details",
        ttl: "1h",
        load: async (_: string) => ((asked.details += 1), database.details),
      });
      const reviews = createCache({
        ...common,
        name: "reviews",
        ttl: "10m",
        staleWhileRevalidate: "1m",
        tags: () => ["reviews:lamp"],
        load: async (_: string) => ((asked.reviews += 1), [...database.reviews]),
      });
      const together = createCache({
        ...common,
        name: "together",
        ttl: "1d",
        refreshAhead: 0.9,
        load: async (_: string) => ((asked.together += 1), database.together),
      });
      const edge = httpCache({ clock });
      const page = withMiddleware(async () => {
        asked.page += 1;
        const parts = await Promise.all([details.get("lamp"), reviews.get("lamp"), together.get("lamp")]);
        const headers = { "cache-control": "s-maxage=600", "surrogate-key": "product:lamp" };
        return new Response(JSON.stringify(parts), { headers });
      }, edge.middleware);
      const read = async (): Promise<unknown> => (await page(new Request("http://shop/lamp"))).json();

      // What changes an article or a review says so; these are all that listen.
      const events: Changed[] = [];
      let wake = (): void => {};
      async function* feed(): AsyncGenerator<Changed> {
        for (;;) {
          while (events.length > 0) yield events.shift()!;
          await new Promise<void>((resolve) => (wake = resolve));
        }
      }
      const stop = new AbortController();
      const { signal } = stop;
      const following = details.invalidateOn(
        feed(),
        ({ kind, sku }) => (kind === "article" ? { keys: [sku] } : {}),
        {
          signal,
        },
      );
      const tell = async (event: Changed): Promise<void> => {
        events.push(event);
        wake();
        if (event.kind === "review") await reviews.invalidateTag(`reviews:${event.sku}`);
        await clock.advance(0);
        await edge.purgeTag(`product:${event.sku}`);
      };

      expect(await read()).toEqual(["lamp, 20", ["good"], "bulb"]);
      expect(await read()).toEqual(["lamp, 20", ["good"], "bulb"]);
      expect(asked).toEqual({ details: 1, reviews: 1, together: 1, page: 1 });

      database.details = "lamp, 15";
      await tell({ kind: "article", sku: "lamp" });
      expect(await read()).toEqual(["lamp, 15", ["good"], "bulb"]);
      expect(asked).toEqual({ details: 2, reviews: 1, together: 1, page: 2 });

      database.reviews.push("bad");
      await tell({ kind: "review", sku: "lamp" });
      expect(await read()).toEqual(["lamp, 15", ["good", "bad"], "bulb"]);
      expect(asked).toEqual({ details: 2, reviews: 2, together: 1, page: 3 });

      // Nobody says when this changes: its time ends.
      database.together = "shade";
      await clock.advance("1d");
      expect(await read()).toEqual(["lamp, 15", ["good", "bad"], "shade"]);
      expect(asked.together).toBe(2);
      stop.abort();
      await following;
      await Promise.all([details.close(), reviews.close(), together.close(), edge.close()]);
    },
  );
});

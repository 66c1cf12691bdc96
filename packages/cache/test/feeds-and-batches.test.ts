import { StoreUnavailableError } from "@holdfast/core";
import { faulty, manualClock } from "@holdfast/core/testing";
import { createCache, loadsInBatches, memoryCacheStore, sharedTier } from "@holdfast/cache";
import { describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";

interface Updated {
  readonly type: "user updated" | "other";
  readonly id: string;
}

/** A feed that gives what is pushed, and notes what has been asked for. */
function feedOf<Event>() {
  const events: Event[] = [];
  const state = { pulls: 0, isReturned: false, error: undefined as Error | undefined, wake: (): void => {} };
  const feed: AsyncIterable<Event> = {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        state.pulls += 1;
        while (events.length === 0 && state.error === undefined)
          await new Promise<void>((resolve) => (state.wake = resolve));
        if (events.length === 0) throw state.error!;
        return { done: false, value: events.shift()! };
      },
      return: async () => {
        state.isReturned = true;
        return { done: true, value: undefined };
      },
    }),
  };
  const push = (event: Event): void => {
    events.push(event);
    state.wake();
  };
  const fail = (error: Error): void => {
    state.error = error;
    state.wake();
  };
  return { feed, state, push, fail };
}

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
};

describe("invalidateOn", () => {
  const users = new Map([["42", "Ada"]]);
  const targets = ({ type, id }: Updated) =>
    type === "user updated" ? { keys: [id], tags: [`of:${id}`] } : undefined;

  it(row(65, "removes the key that an event is about, whoever has published it"), async () => {
    const clock = manualClock();
    const cache = createCache({ clock, load: async (id: string) => users.get(id) });
    const { feed, push } = feedOf<Updated>();
    const stop = new AbortController();
    const following = cache.invalidateOn(feed, targets, { signal: stop.signal });
    expect(await cache.get("42")).toBe("Ada");
    users.set("42", "Grace");
    push({ type: "other", id: "42" });
    await settle();
    expect(await cache.get("42")).toBe("Ada");
    push({ type: "user updated", id: "42" });
    await settle();
    expect(await cache.get("42")).toBe("Grace");
    stop.abort();
    await following;
  });

  it("asks for the next event when the last one was acknowledged, however long the store is away", async () => {
    const clock = manualClock();
    let isDown = true;
    const store = memoryCacheStore({ clock });
    const flaky = {
      ...store,
      traits: store.traits,
      close: () => store.close(),
      open: (name: string) =>
        faulty(store.open(name), {
          methods: ["invalidate", "invalidateTag"],
          plan: () =>
            isDown
              ? {
                  kind: "error",
                  error: new StoreUnavailableError("test", "down", { reason: "x", outcome: "none" }),
                }
              : undefined,
        }),
    };
    const cache = createCache({ clock, load: async () => "v", share: sharedTier({ store: flaky }) });
    const { feed, push, state } = feedOf<Updated>();
    const stop = new AbortController();
    const following = cache.invalidateOn(feed, targets, { signal: stop.signal });
    push({ type: "user updated", id: "1" });
    push({ type: "user updated", id: "2" });
    await clock.advance("3s");
    expect(state.pulls).toBe(1);
    isDown = false;
    await clock.advance("1s");
    expect(state.pulls).toBe(3);
    stop.abort();
    await following;
    await settle();
    expect(state.isReturned).toBe(true);
    await cache.close();
    expect(clock.pendingTimers).toBe(0);
  });

  it("removes everything when the feed fails, since nobody knows what was missed", async () => {
    const cache = createCache({ load: async (id: string) => users.get(id) });
    users.set("42", "old");
    await cache.get("42");
    const { feed, fail } = feedOf<Updated>();
    const following = cache.invalidateOn(feed, targets);
    const failed = expect(following).rejects.toThrow("disconnected");
    users.set("42", "new");
    fail(new Error("disconnected"));
    await failed;
    expect(await cache.get("42")).toBe("new");
  });
});

describe("loadsInBatches", () => {
  it("asks for all keys of one moment at once, in parts, and fails key by key", async () => {
    const clock = manualClock();
    const asked: (readonly number[])[] = [];
    const cache = createCache({
      clock,
      load: loadsInBatches({
        clock,
        max: 3,
        loadMany: async (ids: readonly number[]) => {
          asked.push(ids);
          return ids.map((id) => (id === 4 ? new Error("no such") : id === 5 ? undefined : id * 10));
        },
      }),
    });
    const results = cache.getMany([1, 2, 3, 4, 5, 1]);
    await clock.advance(0);
    expect(
      (await results).map((one) => (one.status === "fulfilled" ? one.value : String(one.reason))),
    ).toEqual([10, 20, 30, "Error: no such", undefined, 10]);
    expect(asked).toEqual([
      [1, 2, 3],
      [4, 5],
    ]);
    const again = cache.getMany([1, 4]);
    await clock.advance(0);
    await again;
    expect(asked.at(-1)).toEqual([4]);
    await cache.close();
  });

  it("fails all of a batch with what loadMany throws, or when it does not answer for each", async () => {
    const clock = manualClock();
    let answers: () => Promise<readonly string[]> = async () => {
      throw new Error("down");
    };
    const cache = createCache({
      clock,
      load: loadsInBatches({ clock, loadMany: (_: readonly string[]) => answers() }),
    });
    const failed = cache.getMany(["a", "b"]);
    await clock.advance(0);
    expect(await failed).toMatchObject([{ reason: { message: "down" } }, { reason: { message: "down" } }]);
    answers = async () => ["one"];
    const short = cache.getMany(["a", "b"]);
    await clock.advance(0);
    expect(await short).toMatchObject([
      { reason: { code: "INVALID_OPTION" } },
      { reason: { code: "INVALID_OPTION" } },
    ]);
    await cache.close();
  });

  it("aborts what it asks when nobody is left who wants any of it", async () => {
    const clock = manualClock();
    let signal: AbortSignal | undefined;
    const cache = createCache({
      clock,
      hardDeadline: "1s",
      abandonAfter: "1s",
      load: loadsInBatches({
        clock,
        loadMany: (_: readonly string[], context) => {
          ({ signal } = context);
          return new Promise<readonly string[]>(() => {});
        },
      }),
    });
    const results = cache.getMany(["a", "b"]);
    await clock.advance("500ms");
    expect(signal?.aborted).toBe(false);
    await clock.advance("1s");
    expect(signal?.aborted).toBe(true);
    expect((await results).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    await cache.close();
    expect(clock.pendingTimers).toBe(0);
  });
});

import { defineTask, handle } from "@holdfast/queue";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { bench, closed, rejection } from "./bench.ts";

const old = defineTask<{ name: string }, { name: string }, string>({ name: "greet", attempts: 1 });
const newest = defineTask({
  name: "greet",
  attempts: 1,
  version: 3,
  input: z.object({ first: z.string(), last: z.string() }),
  output: z.string(),
  upcast: {
    1: ({ name }: { name: string }) => ({ first: name }),
    2: async (input: { first: string }) => ({ ...input, last: "?" }),
  },
});

describe("an input of an older version", () => {
  it("is brought up to date, step by step, before the schema sees it", async () => {
    const { queue, work } = bench();
    const { id } = await queue.enqueue(old, { name: "Ada" });
    const current = await queue.enqueue(newest, { first: "Alan", last: "Turing" });
    await using _ = work([handle(newest, ({ input }) => `${input.first} ${input.last}`)]);
    expect(await queue.wait(newest, id)).toBe("Ada ?");
    expect(await queue.wait(newest, current.id)).toBe("Alan Turing");
  });

  it("fails for good when there is no way from it", async () => {
    const { queue, work, settle } = bench();
    const late = defineTask<string, string, string>({ name: "greet", version: 3, upcast: { 2: String } });
    const { id } = await queue.enqueue(old, { name: "Ada" });
    await using _ = work([handle(late, ({ input }) => input)]);
    await settle();
    expect(await queue.status(id)).toMatchObject({ state: "failed", error: { code: "PAYLOAD_VERSION" } });
  });

  it("fails a try when its upcaster throws", async () => {
    const { queue, work, settle } = bench();
    const bad = defineTask<string, string, string>({
      name: "greet",
      version: 2,
      upcast: {
        1: () => {
          throw new RangeError("no");
        },
      },
    });
    const { id } = await queue.enqueue(old, { name: "Ada" });
    await using _ = work([handle(bad, ({ input }) => input)]);
    await settle();
    expect(await queue.status(id)).toMatchObject({ state: "failed", error: { code: "RangeError" } });
  });
});

describe("an input of a newer version", () => {
  it("goes back until a worker comes that knows it, and uses up no try", async () => {
    const { queue, work, clock, settle } = bench();
    const { id } = await queue.enqueue(newest, { first: "Ada", last: "Lovelace" });
    const behind = work([handle(old, () => "wrong")]);
    await settle();
    expect(await queue.status(id)).toMatchObject({ state: "scheduled", attempt: 1 });
    await clock.advance("25s");
    expect(await queue.status(id)).toMatchObject({ state: "scheduled", attempt: 1 });
    await closed(behind, clock);
    await using _ = work([handle(newest, ({ input }) => input.last)]);
    await clock.advance("10s");
    expect(await queue.wait(newest, id)).toBe("Lovelace");
  });

  it("fails for good where that was asked for", async () => {
    const { queue, work, settle } = bench();
    const strict = defineTask<never, never, string>({ name: "greet", newer: "fail" });
    const { id } = await queue.enqueue(newest, { first: "Ada", last: "Lovelace" });
    await using _ = work([handle(strict, () => "wrong")]);
    await settle();
    expect(await queue.status(id)).toMatchObject({ state: "failed", error: { code: "PAYLOAD_VERSION" } });
  });

  it("of a task that nobody here knows fails a try, as one without a version does", async () => {
    const { queue, work, settle } = bench();
    const { id } = await queue.enqueue(newest, { first: "Ada", last: "Lovelace" });
    await using _ = work([handle(defineTask({ name: "other" }), () => "wrong")]);
    await settle();
    expect(await queue.status(id)).toMatchObject({ state: "failed", error: { code: "NO_HANDLER" } });
  });
});

describe("defineTask", () => {
  it.each([
    [{ version: 0 }, /version/],
    [{ version: 2, upcast: { 2: String } }, /upcast/],
    [{ version: 4, upcast: { 1: String, 3: String } }, /upcast/],
    [{ version: 2, upcast: { 1: "x" as never } }, /upcast/],
    [{ version: 2, upcast: { one: String } as never }, /upcast/],
    [{ newer: "later" as never }, /newer/],
  ])("refuses %o", async (options, message) => {
    expect(() => defineTask({ name: "t", ...options })).toThrow(message);
  });

  it("says what it would take to upcast", async () => {
    expect(await newest.upcast({ name: "Ada" }, 1)).toEqual({ first: "Ada", last: "?" });
    expect(await rejection(newest.upcast({}, 4))).toMatchObject({
      code: "PAYLOAD_VERSION",
      task: "greet",
      version: 4,
      known: 3,
      givesBack: true,
    });
  });
});

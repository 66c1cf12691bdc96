import type { Context, Policy } from "@holdfast/core";
import { chaosFault, chaosLatency, chaosResult, fallback, hedge, pipeline, timeout } from "@holdfast/core";
import type { Fault } from "@holdfast/core/testing";
import { faulty } from "@holdfast/core/testing";
import { describe, expectTypeOf, it } from "vitest";

describe("types of fallback, hedge and chaos", () => {
  it("a fallback adds the type of its value, literal and all, to the task's", () => {
    expectTypeOf(fallback("spare").run(() => 1)).toEqualTypeOf<Promise<number | "spare">>();
    expectTypeOf(fallback(null).run(async () => 1)).toEqualTypeOf<Promise<number | null>>();
    expectTypeOf(fallback({ name: "nobody" }).run(() => 1)).toEqualTypeOf<
      Promise<number | { readonly name: "nobody" }>
    >();
  });

  it("a fallback that computes adds what it resolves to, and sees an Error and the context", () => {
    const policy = fallback(async (error, context) => {
      expectTypeOf(error).toEqualTypeOf<Error>();
      expectTypeOf(context).toEqualTypeOf<Context>();
      return error.message;
    });
    expectTypeOf(policy).toEqualTypeOf<Policy<string>>();
    expectTypeOf(pipeline(policy, timeout("1s")).run(() => 1)).toEqualTypeOf<Promise<number | string>>();
  });

  it("hedge and most chaos answer the task's own type; chaosResult adds its own", () => {
    expectTypeOf(hedge({ delay: "5ms" }).run(() => 1)).toEqualTypeOf<Promise<number>>();
    expectTypeOf(chaosLatency("1s", { rate: 0.1 })).toEqualTypeOf<Policy>();
    expectTypeOf(chaosFault(new Error("x"), { rate: 0.1 })).toEqualTypeOf<Policy>();
    expectTypeOf(chaosResult(503, { rate: 0.1 }).run(() => "x")).toEqualTypeOf<Promise<string | 503>>();
  });

  it("refuses what does not exist", () => {
    // @ts-expect-error: a percentile delay needs an initial one
    hedge({ delay: { percentile: 95 } });
    // @ts-expect-error: chaos needs a rate
    chaosFault(new Error("x"), {});
    // @ts-expect-error: no such duration
    hedge({ delay: "soon" });
    // @ts-expect-error: no such fault
    const fault: Fault = { kind: "explosion" };
    void fault;
  });

  it("a faulty store has the store's own type", () => {
    const store = { get: async (key: string): Promise<number> => key.length };
    expectTypeOf(faulty(store, { plan: [] })).toEqualTypeOf<typeof store>();
  });
});

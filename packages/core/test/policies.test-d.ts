import type { Context, ExtraOf, Pipeline, Policy } from "@holdfast/core";
import { exponential, fallback, pipeline, retry, timeout } from "@holdfast/core";
import { describe, expectTypeOf, it } from "vitest";

declare const stringFallback: Policy<string>;
declare const nullFallback: Policy<null>;
declare const inner: Pipeline<string>;

describe("types of policies", () => {
  it("answers the task's own type through policies that only repeat or limit", () => {
    expectTypeOf(retry().run(() => 1)).toEqualTypeOf<Promise<number>>();
    expectTypeOf(pipeline(retry(), timeout("1s")).run(async () => "x")).toEqualTypeOf<Promise<string>>();
  });

  it("adds what fallbacks may answer, however many and however deep", () => {
    const one = pipeline(stringFallback, retry());
    expectTypeOf(one).toEqualTypeOf<Pipeline<string>>();
    const two = pipeline(retry(), stringFallback, nullFallback);
    expectTypeOf(two.run(() => 1)).toEqualTypeOf<Promise<number | string | null>>();
    expectTypeOf(pipeline(inner, nullFallback).run(() => 1)).toEqualTypeOf<Promise<number | string | null>>();
    expectTypeOf<ExtraOf<typeof inner>>().toEqualTypeOf<string>();
  });

  it("knows what a real fallback answers, as a value or computed", () => {
    const guarded = pipeline(fallback("none"), retry(), timeout("1s"));
    expectTypeOf(guarded.run(async () => 1)).toEqualTypeOf<Promise<number | "none">>();
    const computed = pipeline(
      timeout("1s"),
      fallback(() => null),
    );
    expectTypeOf(computed.run(() => "x")).toEqualTypeOf<Promise<string | null>>();
  });

  it("is a policy itself, and can be given where one is taken", () => {
    expectTypeOf(pipeline(retry(), timeout(5))).toExtend<Policy>();
    expectTypeOf(pipeline(stringFallback)).toExtend<Policy<string>>();
    expectTypeOf(pipeline(stringFallback)).not.toExtend<Policy>();
  });

  it("hands the task a context", () => {
    void retry().run((context) => {
      expectTypeOf(context).toEqualTypeOf<Context>();
    });
  });

  it("refuses a duration without a known unit, and options that do not exist", () => {
    // @ts-expect-error: minutes are "m"
    exponential({ base: "5min" });
    // @ts-expect-error: it is called attempts
    retry({ retries: 3 });
    // @ts-expect-error: decorrelated jitter belongs to exponential alone, under its full name
    exponential({ jitter: "decorrelated" });
  });
});

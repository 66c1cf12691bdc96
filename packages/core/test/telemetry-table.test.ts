import { describe, expect, it } from "vitest";
import type { ChannelRule, MetricRule } from "@holdfast/core";
import { channelMetrics, errorTypeOf, InvalidOptionError, TimeoutError } from "@holdfast/core";

const counter: MetricRule<unknown> = { name: "a.b", type: "counter", unit: "{call}", help: "Calls." };
const histogram: MetricRule<unknown> = { ...counter, type: "histogram", value: () => 1, buckets: [1, 2] };

function of(
  metric: Partial<Record<keyof MetricRule<unknown>, unknown>>,
  base = counter,
): ChannelRule<unknown> {
  return { metrics: [{ ...base, ...metric } as MetricRule<unknown>] };
}

describe("channelMetrics", () => {
  it("keeps what it was given", () => {
    const rule = { metrics: [counter, histogram] };
    expect(channelMetrics("cache", "evicted", rule)).toEqual({ owner: "cache", event: "evicted", ...rule });
  });

  it.each<readonly [string, ChannelRule<unknown>, string]>([
    ["an upper-case name", of({ name: "Calls" }), "name"],
    ["a name with a dash", of({ name: "a-b" }), "name"],
    ["a name without end", of({ name: "a".repeat(129) }), "name"],
    ["an unknown type", of({ type: "summary" }), "type"],
    ["a gauge of nothing", of({ type: "gauge" }), "value"],
    ["milliseconds", of({ unit: "ms" }), "unit"],
    ["no help", of({ help: "" }), "help"],
    ["a label of the histogram's own", of({ labels: { le: () => "" } }), "labels"],
    ["the overflow's label", of({ labels: { overflow: () => "" } }), "labels"],
    ["a label that is no word", of({ labels: { 'x"y': () => "" } }), "labels"],
    ["two labels that are one in Prometheus", of({ labels: { "a.b": () => "", a_b: () => "" } }), "labels"],
    ["a histogram of nothing", of({ value: undefined }, histogram), "value"],
    ["a histogram without buckets", of({ buckets: [] }, histogram), "buckets"],
    ["buckets that do not rise", of({ buckets: [1, 1] }, histogram), "buckets"],
    ["a bucket without end", of({ buckets: [1, Infinity] }, histogram), "buckets"],
    ["a span without a length", { metrics: [], trace: { as: "span", name: "x" } }, "durationMs"],
  ])("refuses %s", (_what, rule, option) => {
    const make = (): unknown => channelMetrics("cache", "evicted", rule);
    expect(make).toThrow(InvalidOptionError);
    expect(make).toThrow(`"${option}"`);
  });
});

describe("errorTypeOf", () => {
  it.each<readonly [unknown, string | undefined]>([
    [undefined, undefined],
    [new TimeoutError("db", 100), "TIMEOUT"],
    [new RangeError("user 42 is out of range"), "RangeError"],
    [Object.assign(new Error("refused"), { code: "ECONNREFUSED" }), "ECONNREFUSED"],
    [Object.assign(new Error("refused"), { code: 7 }), "Error"],
    [Object.assign(new Error("x"), { code: "http://host/?key=1", name: "no word" }), "_OTHER"],
    [Object.assign(new Error("x"), { name: "N".repeat(65) }), "_OTHER"],
    ["thrown text", "_OTHER"],
    [null, "_OTHER"],
  ])("tells the kind of %o in a word", (thrown, expected) => {
    expect(errorTypeOf(thrown)).toBe(expected);
  });
});

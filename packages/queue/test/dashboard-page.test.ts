import type { TaskEvent, TaskEventBody } from "@holdfast/queue";
import { describe, expect, it } from "vitest";
import { niceTop, nearest } from "../src/dashboard/page/chart.ts";
import { amount, count, duration, fromNow } from "../src/operate/format.ts";
import { shareOf } from "../src/dashboard/page/parts.ts";
import { linkTo, placeOf } from "../src/dashboard/page/state.ts";
import { stretchesOf } from "../src/dashboard/page/stretches.ts";

/** Events a second apart, the first at 1,000. */
function events(...bodies: readonly TaskEventBody[]): readonly TaskEvent[] {
  return bodies.map((body, index) => ({ ...body, seq: index + 1, at: (index + 1) * 1_000 }));
}

const error = { code: "BROKEN", message: "it broke" };

describe("the timeline of a task", () => {
  it("is made of waits and tries, each with how it ended", () => {
    const life = events(
      { type: "enqueued" },
      { type: "started", attempt: 1 },
      { type: "checkpoint", name: "a" },
      { type: "retrying", delayMs: 500, error },
      { type: "started", attempt: 2 },
      { type: "lease_lost" },
      { type: "started", attempt: 2 },
      { type: "suspended", events: ["approved"] },
      { type: "signalled", name: "approved" },
      { type: "started", attempt: 2 },
      { type: "released" },
      { type: "started", attempt: 2 },
      { type: "completed" },
    );
    expect(
      stretchesOf(life, 1_000, 99_000).map(({ kind, what, end, from, to }) => [kind, what, end, from, to]),
    ).toEqual([
      ["wait", "queued", undefined, 1_000, 2_000],
      ["run", "try 1", "failed", 2_000, 4_000],
      ["wait", "before the next try", undefined, 4_000, 5_000],
      ["run", "try 2", "lost", 5_000, 6_000],
      ["wait", "for another worker", undefined, 6_000, 7_000],
      ["run", "try 2", "done", 7_000, 8_000],
      ["wait", "for “approved”", undefined, 8_000, 10_000],
      ["run", "try 2", "given back", 10_000, 11_000],
      ["wait", "for another worker", undefined, 11_000, 12_000],
      ["run", "try 2", "done", 12_000, 13_000],
    ]);
    expect(stretchesOf(life, 1_000, 99_000)[1]!.marks).toEqual([3_000]);
  });

  it("goes on until now while the task does", () => {
    const life = events({ type: "enqueued" }, { type: "started", attempt: 1 });
    expect(stretchesOf(life, 1_000, 9_000).at(-1)).toEqual({
      kind: "run",
      what: "try 1",
      from: 2_000,
      to: 9_000,
      marks: [],
    });
  });

  it("begins with a stretch of which no more is known when its first events are no longer kept", () => {
    const life = events({ type: "log", line: "so far" }, { type: "failed", error });
    expect(stretchesOf(life, 500, 9_000).map(({ what, from, to }) => [what, from, to])).toEqual([
      ["earlier", 500, 2_000],
    ]);
  });

  it("has another life after it was redriven", () => {
    const life = events({ type: "enqueued" }, { type: "cancelled", reason: "no" }, { type: "redriven" });
    expect(stretchesOf(life, 1_000, 5_000).map(({ what }) => what)).toEqual(["queued", "queued again"]);
  });
});

describe("what is read", () => {
  it("durations and distances in time", () => {
    const texts = [0, 0.2, 5.25, 350, 4_200, 42_000, 200_000, 3_600_000, 7_500_000, 277_200_000].map(
      duration,
    );
    expect(texts).toEqual([
      "0 ms",
      "0.2 ms",
      "5.3 ms",
      "350 ms",
      "4.2 s",
      "42 s",
      "3 min 20 s",
      "1 h",
      "2 h 5 min",
      "3 d 5 h",
    ]);
    expect([fromNow(5_000, 1_000), fromNow(1_000, 5_000), fromNow(1_000, 1_200)]).toEqual([
      "in 4 s",
      "4 s ago",
      "now",
    ]);
  });

  it("amounts", () => {
    expect([0, 0.123, 4.25, 42.42, 1_234.5].map(amount)).toEqual(["0", "0.12", "4.25", "42.4", "1,235"]);
    expect([count(1, "task"), count(0, "task"), count(1_000, "task")]).toEqual([
      "1 task",
      "0 tasks",
      "1,000 tasks",
    ]);
  });

  it("progress as a share, if that is what it is", () => {
    expect([40, { percent: 40 }, { done: 0.4 }, { done: 2, total: 5 }, 400, -1].map(shareOf)).toEqual([
      0.4, 0.4, 0.4, 0.4, 1, 0,
    ]);
    expect(["40", null, {}, Number.NaN, { done: "all" }].map(shareOf)).toEqual(Array(5).fill(undefined));
  });
});

describe("charts", () => {
  it("end at a round number above the highest value", () => {
    expect([0, 0.3, 1, 1.01, 4, 7, 10, 11, 999].map(niceTop)).toEqual([1, 0.5, 1, 2, 5, 10, 10, 20, 1_000]);
  });

  it("find the time that is nearest to the pointer", () => {
    expect([-1, 0, 0.3, 0.9, 2].map((share) => nearest([0, 50, 100], 0, 100, share))).toEqual([
      0, 0, 1, 2, 2,
    ]);
  });
});

describe("addresses", () => {
  it("lead back to where they were made for, whatever is in a name", () => {
    for (const place of [
      { at: "overview" },
      { at: "queue", queue: "images", state: "failed" },
      { at: "task", queue: "a.b-c", id: "task:1/2?#%" },
    ] as const)
      expect(placeOf(linkTo(place))).toEqual(place);
  });

  it("that are none lead to the overview, or to a queue's ready tasks", () => {
    expect(["", "#", "#/x", "#/q", "#/q/"].map((hash) => placeOf(hash).at)).toEqual(
      Array(5).fill("overview"),
    );
    expect(placeOf("#/q/images/nonsense")).toEqual({ at: "queue", queue: "images", state: "ready" });
    expect(placeOf("#/q/%E0%A4%A")).toEqual({ at: "queue", queue: "%E0%A4%A", state: "ready" });
  });
});

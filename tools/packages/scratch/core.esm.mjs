// Uses @holdfast/core from an ES module.
import { constant, fallback, hasCode, pipeline, retry, timeout } from "@holdfast/core";
import { IndexedHeap } from "@holdfast/core/collections";
import { manualClock } from "@holdfast/core/testing";
import assert from "node:assert/strict";

let tries = 0;
const careful = pipeline(fallback("none"), retry({ attempts: 3, backoff: constant(0) }), timeout("1s"));
const flaky = async () => {
  tries += 1;
  if (tries < 3) throw new Error("not yet");
  return "done";
};
assert.equal(await careful.run(flaky), "done");
assert.equal(tries, 3);

const clock = manualClock();
const waiting = timeout("5s", { clock }).run(() => new Promise(() => {}));
const refused = assert.rejects(waiting, (error) => hasCode(error, "TIMEOUT"));
await clock.advance(5_000);
await refused;

const jobs = new IndexedHeap((a, b) => a.due < b.due, {
  of: ({ place }) => place,
  set: (job, at) => void (job.place = at),
});
for (const due of [3, 1, 2]) jobs.put({ due, place: -1 });
assert.equal(jobs.first.due, 1);

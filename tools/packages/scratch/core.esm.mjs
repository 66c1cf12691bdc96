// Uses @holdfast/core from an ES module.
import { constant, fallback, hasCode, pipeline, retry, timeout } from "@holdfast/core";
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

// Uses @holdfast/breaker from an ES module.
import { circuitBreaker, circuitBreakers, consecutive } from "@holdfast/breaker";
import { pipeline, timeout } from "@holdfast/core";
import assert from "node:assert/strict";

const breaker = circuitBreaker({ trip: consecutive({ failures: 1 }), openFor: "1h" });
const guarded = pipeline(breaker, timeout("1s"));
assert.equal(await guarded.run(() => 42), 42);
await assert.rejects(guarded.run(() => Promise.reject(new Error("down"))));
await assert.rejects(
  guarded.run(() => 42),
  { code: "CIRCUIT_OPEN" },
);
assert.equal(circuitBreakers().for("host").state, "closed");

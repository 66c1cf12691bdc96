// Uses @holdfast/breaker from an ES module.
import { circuitBreaker, circuitBreakers, consecutive, memoryCircuitStore } from "@holdfast/breaker";
import { circuitStoreConformance } from "@holdfast/breaker/testing";
import { pipeline, timeout } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
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

const share = { store: memoryCircuitStore(), quorum: 1 };
const member = () => circuitBreaker({ trip: consecutive({ failures: 1 }), share });
const [one, two] = [member(), member()];
await assert.rejects(one.run(() => Promise.reject(new Error("down"))));
await new Promise((resolve) => setImmediate(resolve));
assert.equal(two.state, "open");
assert.deepEqual(await two.close(), { leasesReturned: 0 });

const clauses = [];
const clock = manualClock();
circuitStoreConformance(
  { describe: (_, body) => body(), it: (_, body) => clauses.push(body) },
  {
    make: () => memoryCircuitStore({ clock, keep: "10s" }),
    advance: (ms) => clock.advance(ms),
    keepMs: 10_000,
  },
);
for (const clause of clauses) await clause();
assert.ok(clauses.length > 30);

// Uses @holdfast/breaker from CommonJS, which Node ≥ 20.19 allows.
const assert = require("node:assert/strict");
const { circuitBreaker, timeWindow } = require("@holdfast/breaker");

const breaker = circuitBreaker({ trip: timeWindow({ window: "5s" }) });
void breaker.run(() => "fine").then((value) => assert.equal(value, "fine"));

// Uses @holdfast/ratelimit from CommonJS, which Node ≥ 20.19 allows.
const assert = require("node:assert/strict");
const { rateLimiter, slidingWindow } = require("@holdfast/ratelimit");
const { byIp } = require("@holdfast/ratelimit/http");

assert.equal(rateLimiter({ limits: slidingWindow({ limit: 5, window: "1m" }) }).tryTake("a").remaining, 4);
assert.equal(typeof byIp(), "function");

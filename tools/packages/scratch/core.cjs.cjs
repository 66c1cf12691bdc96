// Uses @holdfast/core from CommonJS, which Node ≥ 20.19 allows.
const assert = require("node:assert/strict");
const { InvalidOptionError, hasCode, retry } = require("@holdfast/core");

assert.throws(
  () => retry({ attempts: 0 }),
  (error) => error instanceof InvalidOptionError && hasCode(error, "INVALID_OPTION"),
);
retry()
  .run(async ({ attempt }) => attempt)
  .then((attempt) => assert.equal(attempt, 1))
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });

// Uses @holdfast/queue from CommonJS, which Node ≥ 20.19 allows.
const assert = require("node:assert/strict");
const { defineTask, memoryStore, queue } = require("@holdfast/queue");

const greet = defineTask({ name: "greet" });
queue({ name: "greetings", store: memoryStore() })
  .enqueue(greet, "hello")
  .then(({ id }) => assert.equal(typeof id, "string"))
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });

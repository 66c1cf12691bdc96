// Uses @holdfast/queue from an ES module.
import { defineTask, handle, memoryStore, queue, worker } from "@holdfast/queue";
import { autoscaleApi } from "@holdfast/queue/http";
import { fileBlobs } from "@holdfast/queue/blobs";
import { compressed, encrypted, offloaded } from "@holdfast/queue/codec";
import { queueDashboard } from "@holdfast/queue/dashboard";
import { postgresTaskMigrations, postgresTaskStore } from "@holdfast/queue/postgres";
import { fileJournal } from "@holdfast/queue/file";
import { redisTaskStore } from "@holdfast/queue/redis";
import { queueStoreConformance, queueStoreModel } from "@holdfast/queue/testing";
import { threadHandler } from "@holdfast/queue/threads";
import assert from "node:assert/strict";

const double = defineTask({ name: "double" });
const numbers = queue({ name: "numbers", store: memoryStore() });
const { id } = await numbers.enqueue(double, 21);
const working = worker(numbers, [handle(double, ({ input }) => input * 2)]);
assert.equal(await numbers.wait(double, id), 42);
await working.close({ within: "1s" });
assert.equal(typeof redisTaskStore, "function");

const triple = defineTask({ name: "triple" });
const tripling = threadHandler(triple, new URL("queue-thread.mjs", import.meta.url), { threads: 1 });
const stepped = defineTask({ name: "stepped" });
const others = worker(numbers, [
  tripling,
  handle(stepped, async ({ input, step }) => (await step.run("half", () => input / 2)) + 1),
]);
const [tripled, halved] = [await numbers.enqueue(triple, 7), await numbers.enqueue(stepped, 8)];
assert.equal(await numbers.wait(triple, tripled.id), 21);
assert.equal(await numbers.wait(stepped, halved.id), 5);
await others.close({ within: "1s" });
await tripling.close();

const codecs = [
  compressed(),
  encrypted({ current: "k", keys: { k: new Uint8Array(32) } }),
  offloaded({ store: fileBlobs({ folder: "blobs" }) }),
];
const hidden = queue({ name: "hidden", store: memoryStore(), codecs });
assert.equal((await autoscaleApi({ queue: hidden })(new Request("http://localhost/"))).status, 200);
const dashboard = queueDashboard({ queues: [numbers], authorize: () => ({ readOnly: true }) });
const page = await dashboard(new Request("http://localhost/queues/page.js"));
assert.equal(page.headers.get("content-type"), "text/javascript; charset=utf-8");
await dashboard.close();
assert.equal(typeof postgresTaskStore, "function");
assert.match(postgresTaskMigrations()[0].name, /^queue:/);
assert.equal(typeof fileJournal, "function");
assert.equal(typeof queueStoreConformance, "function");
// Its peer is not installed here: that is told, and the conformance suite beside it needs none.
const model = queueStoreModel({ make: () => memoryStore(), advance: async () => {} });
await assert.rejects(model, { code: "ERR_MODULE_NOT_FOUND", message: /fast-check/ });

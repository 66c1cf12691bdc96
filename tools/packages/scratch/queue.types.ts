// Uses @holdfast/queue from strict TypeScript.
import { defineTask, handle, memoryStore, queue } from "@holdfast/queue";
import type { BlobStore } from "@holdfast/queue/blobs";
import { encrypted } from "@holdfast/queue/codec";
import { taskApi } from "@holdfast/queue/http";
import { serveTaskSocket } from "@holdfast/queue/ws";

const double = defineTask<number, number, number>({ name: "double" });
const numbers = queue({ name: "numbers", store: memoryStore() });
const id: Promise<string> = numbers.enqueue(double, 21).then((task) => task.id);
const result: Promise<number> = numbers.wait(double, "an-id");
const handler = handle(double, ({ input }) => input * 2);

// @ts-expect-error the input of this task is a number
void numbers.enqueue(double, "21");

const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
const sealed = queue({
  name: "sealed",
  store: memoryStore(),
  codecs: [encrypted({ current: "k", keys: { k: key, old: new Uint8Array(32) } })],
});

export { handler, id, result, sealed, serveTaskSocket, taskApi };
export type { BlobStore };

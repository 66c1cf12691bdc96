import { defineTask, handle, memoryStore, queue, worker } from "@holdfast/queue";
import type { PayloadCodec } from "@holdfast/queue";
import { compressed, encrypted, offloaded } from "@holdfast/queue/codec";
import { describe, expect, it } from "vitest";

const note = defineTask<string, string, string>({ name: "note" });
const blobs = new Map<string, Uint8Array>();
const blobStore = {
  put: async (key: string, bytes: Uint8Array): Promise<void> => void blobs.set(key, bytes),
  get: async (key: string): Promise<Uint8Array | undefined> => blobs.get(key),
  delete: async (key: string): Promise<void> => void blobs.delete(key),
};
const key = new Uint8Array(32);
const CODECS: readonly (readonly [name: string, codec: PayloadCodec])[] = [
  ["encrypted", encrypted({ current: "k", keys: { k: key } })],
  ["compressed", compressed({ above: 0 })],
  ["offloaded", offloaded({ store: blobStore, above: 0 })],
];

describe.each(CODECS)("a queue without codecs, and an input that was %s", (_, codec) => {
  it("fails the task rather than hand its handler the envelope", async () => {
    const store = memoryStore();
    const { id } = await queue({ name: "notes", store, codecs: [codec] }).enqueue(note, "secret");
    const plain = queue({ name: "notes", store });
    const seen: unknown[] = [];
    const working = worker(plain, [
      handle(note, ({ input }) => {
        seen.push(input);
        return "done";
      }),
    ]);
    await expect(plain.wait(note, id)).rejects.toMatchObject({ reason: "PAYLOAD_CODEC_MISSING" });
    expect(seen).toEqual([]);
    await expect(plain.input(note, id)).rejects.toMatchObject({ code: "PAYLOAD_CODEC_MISSING" });
    await working.close();
  });

  it("does not pass off an envelope as what a step came to or as a result", async () => {
    const store = memoryStore();
    const sealed = queue({ name: "notes", store, codecs: [codec] });
    const plain = queue({ name: "notes", store });
    const { id } = await plain.enqueue(note, "open");
    await sealed.signal(id, "told", "secret");
    const working = worker(plain, [handle(note, ({ step }) => step.waitFor<string>("told"))]);
    await expect(plain.wait(note, id)).rejects.toMatchObject({ reason: "PAYLOAD_CODEC_MISSING" });
    await working.close();
    const other = await sealed.enqueue(note, "secret");
    const reading = worker(sealed, [handle(note, ({ input }) => input)]);
    await expect(sealed.wait(note, other.id)).resolves.toBe("secret");
    await reading.close();
    await expect(plain.result(other.id)).rejects.toMatchObject({ code: "PAYLOAD_CODEC_MISSING" });
  });
});

it("takes inputs that only look like envelopes for what they are", async () => {
  const like = defineTask({ name: "like" });
  const inputs = [
    ["$sealed", "k"],
    ["$sealed", new Uint8Array(2)],
    ["$offloaded", "a/b/input-1", 5, "x"],
    ["$deflated"],
  ];
  const plain = queue({ name: "likes", store: memoryStore() });
  for (const input of inputs) {
    const { id } = await plain.enqueue(like, input);
    expect(await plain.input(like, id)).toEqual({ value: input });
  }
});

import type { Payload, PayloadPlace } from "@holdfast/queue";
import { decodePayload, encodePayload } from "@holdfast/queue";
import { compressed, encrypted, offloaded } from "@holdfast/queue/codec";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const kept = new Map<string, Uint8Array>();
const codecs = [
  compressed({ above: 20 }),
  encrypted({ current: "k", keys: { k: new Uint8Array(32) } }),
  offloaded({
    above: 100,
    store: {
      put: async (key, bytes) => kept.set(key, bytes),
      get: async (key) => kept.get(key),
      delete: async (key) => kept.delete(key),
    },
  }),
];
const words = ["$deflated", "$sealed", "$offloaded"];
const value = fc.oneof(
  fc.jsonValue(),
  fc.tuple(fc.constantFrom(...words), fc.string()),
  fc.record({ bytes: fc.uint8Array({ maxLength: 300 }), text: fc.string({ unit: "binary" }) }),
  fc.constant(undefined),
);
const place = fc.record<PayloadPlace>({
  queue: fc.constantFrom("a", "b"),
  id: fc.constantFrom("1", "2"),
  part: fc.constantFrom("input", "result", "checkpoint"),
  name: fc.constantFrom("", "x"),
});

describe("codecs", () => {
  it("give back what went in, in any order and number of them, also when it reads like an envelope", async () => {
    await fc.assert(
      fc.asyncProperty(value, place, fc.shuffledSubarray(codecs), async (given, where, chosen) => {
        const before = encodePayload(given, 1_000_000);
        let payload: Payload = before;
        for (const codec of chosen) payload = await codec.encode(payload, where);
        for (const codec of chosen.toReversed()) payload = await codec.decode(payload, where);
        expect(payload.text).toBe(before.text);
        expect(decodePayload(payload)).toEqual(decodePayload(before));
      }),
    );
  });

  it("open what was encrypted in its own place alone", async () => {
    const codec = codecs[1]!;
    await fc.assert(
      fc.asyncProperty(value, place, place, async (given, where, elsewhere) => {
        const sealed = await codec.encode(encodePayload(given, 1_000_000), where);
        const isThere = JSON.stringify(where) === JSON.stringify(elsewhere);
        const opened = await Promise.resolve(codec.decode(sealed, elsewhere)).then(
          () => true,
          () => false,
        );
        expect(opened).toBe(isThere);
      }),
    );
  });
});

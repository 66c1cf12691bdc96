import { decodePayload, encodePayload } from "@holdfast/queue";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

/** Keys that look like what encoding uses itself, and one that objects have anyway. */
const aKey = fc.oneof(
  fc.constantFrom("$blob", "$$blob", "$$$blob", "blob", "__proto__", "toString"),
  fc.string(),
);
const aLeaf = fc.oneof(
  fc.constantFrom(null, true, 0, "$blob", '{"$blob":0}'),
  fc.string({ unit: "binary" }),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => (number === 0 ? 0 : number)),
  fc.uint8Array({ maxLength: 20 }),
);
const { value: aValue } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "medium" },
    aLeaf,
    fc.array(tie("value"), { maxLength: 4 }),
    fc.array(fc.tuple(aKey, tie("value")), { maxLength: 4 }).map((entries) => Object.fromEntries(entries)),
  ),
}));

/** All bytes of a value, wherever they are. */
function bytesIn(value: unknown): readonly Uint8Array[] {
  if (value instanceof Uint8Array) return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(bytesIn) : [];
}

describe("any value of JSON and bytes", () => {
  it("comes back as it went in, in copies of its own", () => {
    fc.assert(
      fc.property(aValue, (value) => {
        const before = structuredClone(value);
        const payload = encodePayload(value, 1_000_000);
        // What its owner does to it later changes nothing; nor does what a reader does to what it got.
        for (const bytes of bytesIn(value)) bytes.fill(170);
        for (const bytes of bytesIn(decodePayload(payload))) bytes.fill(85);
        expect(decodePayload(payload)).toStrictEqual(before);
      }),
      { numRuns: 2_000 },
    );
  });

  it("is plain JSON and bytes in a store, as large as it says", () => {
    fc.assert(
      fc.property(aValue, (value) => {
        const { text, blobs } = encodePayload(value, 1_000_000);
        const stored = { text: String(text), blobs: blobs.map((blob) => Uint8Array.from(blob)) };
        expect(decodePayload(stored)).toStrictEqual(decodePayload({ text, blobs }));
        const size = Buffer.byteLength(text) + blobs.reduce((sum, blob) => sum + blob.length, 0);
        expect(() => encodePayload(value, size)).not.toThrow();
        if (size > 1) expect(() => encodePayload(value, size - 1)).toThrow(/more than the/);
      }),
      { numRuns: 1_000 },
    );
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromStoredText, toStoredText } from "../src/stores/stored-text.ts";

const anyText = fc.string({ unit: "binary", maxLength: 40 });
const worstText = fc
  .array(fc.constantFrom("\u0000", "\u0001", "\ud83d", "\ude00", "0", "d83d", "a", "é"), { maxLength: 20 })
  .map((units) => units.join(""));

describe("text as servers keep it", () => {
  it("comes back as it was, is well-formed without NUL, and is itself when it can be", () => {
    fc.assert(
      fc.property(fc.oneof(anyText, worstText), (text) => {
        const stored = toStoredText(text);
        expect(fromStoredText(stored)).toBe(text);
        expect(/\p{Surrogate}/u.test(stored) || stored.includes("\u0000")).toBe(false);
        // eslint-disable-next-line no-control-regex
        if (!/[\u0000\u0001]|\p{Surrogate}/u.test(text)) expect(stored).toBe(text);
      }),
    );
  });
});

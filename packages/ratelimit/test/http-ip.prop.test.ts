import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ipKey, isWithin, parseIp, parseRange } from "../src/http/ip-address.ts";

const ipv4 = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)).map((bytes) => bytes.join("."));
const groups = fc.array(fc.nat(65_535), { minLength: 8, maxLength: 8 });

/** One address in several notations. */
function notations(words: readonly number[]): readonly string[] {
  const hex = words.map((word) => word.toString(16));
  const padded = words.map((word) => word.toString(16).padStart(4, "0"));
  const zero = words.findIndex((word, index) => word === 0 && words[index + 1] === 0);
  const compressed = zero === -1 ? [] : [`${hex.slice(0, zero).join(":")}::${hex.slice(zero + 2).join(":")}`];
  const last = [words[6]! >> 8, words[6]! & 255, words[7]! >> 8, words[7]! & 255].join(".");
  return [
    hex.join(":"),
    padded.join(":"),
    padded.join(":").toUpperCase(),
    `${hex.join(":")}%eth0`,
    `${hex.slice(0, 6).join(":")}:${last}`,
    ...compressed,
  ];
}

describe("addresses", () => {
  it("[must-survive 16] are one key in every notation", () => {
    fc.assert(
      fc.property(groups, (words) => {
        const keys = notations(words).map((text) => ipKey(parseIp(text)!, 128));
        expect(new Set(keys).size).toBe(1);
      }),
      { numRuns: 500 },
    );
  });

  it("[must-survive 16] are one key whether they are IPv4 or IPv4 in IPv6", () => {
    fc.assert(
      fc.property(ipv4, (text) => {
        const [a, b, c, d] = text.split(".").map(Number) as [number, number, number, number];
        const [high, low] = [(a * 256 + b).toString(16), (c * 256 + d).toString(16)];
        for (const notation of [
          text,
          `::ffff:${text}`,
          `::FFFF:${text}`,
          `0:0:0:0:0:ffff:${high}:${low}`,
          `::ffff:${high}:${low}`,
          `0000:0000:0000:0000:0000:ffff:${text}`,
        ])
          expect(ipKey(parseIp(notation)!, 64), notation).toBe(text);
      }),
    );
  });

  it("[must-survive 16] of one IPv6 network are one key, and of others are others", () => {
    fc.assert(
      fc.property(groups, groups, fc.integer({ min: 32, max: 128 }), (words, others, prefix) => {
        const address = parseIp(words.map((word) => word.toString(16)).join(":"))!;
        const bits = (list: readonly number[]): string =>
          list.map((word) => word.toString(2).padStart(16, "0")).join("");
        const mixed = bits(words).slice(0, prefix) + bits(others).slice(prefix);
        const neighbour = Array.from({ length: 8 }, (_, index) =>
          Number.parseInt(mixed.slice(16 * index, 16 * index + 16), 2).toString(16),
        ).join(":");
        const isIpv4 =
          ipKey(address, prefix).includes(".") || ipKey(parseIp(neighbour)!, prefix).includes(".");
        if (!isIpv4) expect(ipKey(parseIp(neighbour)!, prefix)).toBe(ipKey(address, prefix));
        const range = { address, prefix };
        expect(isWithin(parseIp(neighbour)!, range)).toBe(true);
        const flipped = bits(words).slice(0, prefix - 1) + (bits(words)[prefix - 1] === "0" ? "1" : "0");
        const outside = flipped + bits(others).slice(prefix);
        const text = Array.from({ length: 8 }, (_, index) =>
          Number.parseInt(outside.slice(16 * index, 16 * index + 16), 2).toString(16),
        ).join(":");
        expect(isWithin(parseIp(text)!, range)).toBe(false);
      }),
    );
  });

  it("never fail, whatever text they are read from", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(..."0123456789abcf:.%/[]".split("")) })),
        (text) => {
          const address = parseIp(text);
          expect(address === undefined || address.length === 16).toBe(true);
          parseRange(text);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it.each([
    "",
    "1.2.3",
    "1.2.3.4.5",
    "256.1.1.1",
    "01.2.3.4",
    "0x7f.1",
    "1.2.3.4 ",
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "::1.2.3",
    "1.2.3.4::",
    "g::",
    "::12345",
    "::1/64",
    "x".repeat(100),
  ])("are not %j", (text) => {
    expect(parseIp(text)).toBeUndefined();
  });
});

// The arithmetic of RFC 9111 §4.2, beside a reference that follows its text sentence by sentence, in seconds.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { directivesOf, msOf } from "../src/http/cache-control.ts";
import { currentAgeMs, explicitLifetimeMs, initialAgeMs } from "../src/http/freshness.ts";
import { formatHttpDate, parseHttpDate } from "../src/http/http-date.ts";
import { isServedOnError, reuseOf } from "../src/http/reuse.ts";
import { variantOf, varyNamesOf } from "../src/http/vary.ts";
import { normalisedUrl } from "../src/http/address.ts";

const NOW = Date.parse("2026-11-21T12:00:00Z") / 1_000;

const seconds = fc.nat(200);
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

/** All times in seconds. */
const exchange = fc.record({
  requestTime: fc.integer({ min: NOW - 50, max: NOW }),
  delay: fc.nat(30),
  date: maybe(fc.integer({ min: NOW - 300, max: NOW + 100 })),
  age: maybe(seconds),
  maxAge: maybe(seconds),
  sMaxage: maybe(seconds),
  expires: maybe(fc.oneof(fc.integer({ min: NOW - 300, max: NOW + 300 }), fc.constant("0"))),
  residence: fc.nat(300),
});

type Exchange = typeof exchange extends fc.Arbitrary<infer T> ? T : never;

function fieldsOf({ date, age, maxAge, sMaxage, expires }: Exchange, order: boolean): Headers {
  const headers = new Headers();
  if (date !== undefined) headers.set("date", formatHttpDate(date * 1_000));
  if (age !== undefined) headers.set("age", String(age));
  if (expires !== undefined)
    headers.set("expires", typeof expires === "number" ? formatHttpDate(expires * 1_000) : expires);
  const directives = [
    ...(maxAge === undefined ? [] : [`max-age=${maxAge}`]),
    ...(sMaxage === undefined ? [] : [`S-MaxAge="${sMaxage}"`]),
  ];
  if (directives.length > 0)
    headers.set("cache-control", (order ? directives : directives.toReversed()).join(" ,"));
  return headers;
}

/** §4.2.3, by its names. */
function referenceAge({ requestTime, delay, date, age, residence }: Exchange): number {
  const response_time = requestTime + delay;
  const date_value = date ?? response_time;
  const age_value = age ?? 0;
  const apparent_age = Math.max(0, response_time - date_value);
  const response_delay = response_time - requestTime;
  const corrected_age_value = age_value + response_delay;
  const corrected_initial_age = Math.max(apparent_age, corrected_age_value);
  const resident_time = residence;
  return corrected_initial_age + resident_time;
}

/** §4.2.1, in its order: the first that matches. */
function referenceLifetime({
  requestTime,
  delay,
  date,
  maxAge,
  sMaxage,
  expires,
}: Exchange): number | undefined {
  if (sMaxage !== undefined) return sMaxage;
  if (maxAge !== undefined) return maxAge;
  if (expires === undefined) return undefined;
  if (typeof expires === "string") return 0;
  return Math.max(0, expires - (date ?? requestTime + delay));
}

describe("age and lifetime", () => {
  it("are those of the RFC", () => {
    fc.assert(
      fc.property(exchange, fc.boolean(), (given, order) => {
        const requestedAtMs = given.requestTime * 1_000;
        const receivedAtMs = (given.requestTime + given.delay) * 1_000;
        const headers = fieldsOf(given, order);
        const directives = directivesOf(headers.get("cache-control"));
        const initial = initialAgeMs(headers, { requestedAtMs, receivedAtMs });
        const ageMs = currentAgeMs(initial, receivedAtMs, receivedAtMs + given.residence * 1_000);
        expect(ageMs).toBe(referenceAge(given) * 1_000);
        const lifetimeMs = explicitLifetimeMs({ status: 200, headers, directives }, receivedAtMs);
        const reference = referenceLifetime(given);
        expect(lifetimeMs).toBe(reference === undefined ? undefined : reference * 1_000);
      }),
      { numRuns: 5_000 },
    );
  });

  it("never make a response younger, whatever the clock and the fields say", () => {
    fc.assert(
      fc.property(exchange, fc.integer({ min: -1_000, max: 1_000 }), fc.string(), (given, jump, garbage) => {
        const receivedAtMs = (given.requestTime + given.delay) * 1_000;
        const headers = fieldsOf(given, true);
        headers.append("age", encodeURIComponent(garbage));
        const initial = initialAgeMs(headers, { requestedAtMs: given.requestTime * 1_000, receivedAtMs });
        expect(initial).toBeGreaterThanOrEqual(0);
        expect(currentAgeMs(initial, receivedAtMs, receivedAtMs + jump * 1_000)).toBeGreaterThanOrEqual(
          initial,
        );
      }),
    );
  });
});

const kept = fc.record({
  initialAgeMs: fc.nat(100),
  receivedAtMs: fc.constant(1_000),
  lifetimeMs: fc.nat(200),
  staleWhileRevalidateMs: fc.constantFrom(0, 50, 100),
  staleIfErrorMs: fc.constantFrom(0, 80),
  isAlwaysValidated: fc.boolean(),
  isNeverStale: fc.boolean(),
  isSeldomStale: fc.boolean(),
});

const asked = fc.record({
  noCache: fc.boolean(),
  maxAge: maybe(fc.constantFrom(0, 1)),
  minFresh: maybe(fc.constantFrom(0, 1)),
  maxStale: maybe(fc.constantFrom("", "=0", "=1")),
});

describe("reuse", () => {
  it("serves nothing that a directive of either side forbids, and all that none does", () => {
    fc.assert(
      fc.property(kept, asked, fc.nat(400), (response, request, passed) => {
        const field = [
          ...(request.noCache ? ["no-cache"] : []),
          ...(request.maxAge === undefined ? [] : [`max-age=${request.maxAge}`]),
          ...(request.minFresh === undefined ? [] : [`min-fresh=${request.minFresh}`]),
          ...(request.maxStale === undefined ? [] : [`max-stale${request.maxStale}`]),
        ].join(", ");
        const directives = directivesOf(field);
        const nowMs = 1_000 + passed;
        const reuse = reuseOf(response, directives, nowMs);
        const age = response.initialAgeMs + passed;
        expect(reuse.ageMs).toBe(age);
        const isFresh = response.lifetimeMs > age;
        if (reuse.kind === "fresh") expect(isFresh).toBe(true);
        if (reuse.kind !== "validate") {
          expect(response.isAlwaysValidated || request.noCache).toBe(false);
          if (request.maxAge !== undefined) expect(age).toBeLessThanOrEqual(request.maxAge * 1_000);
          if (request.minFresh !== undefined)
            expect(response.lifetimeMs - age >= request.minFresh * 1_000 || request.minFresh === 0).toBe(
              true,
            );
        }
        if (reuse.kind === "stale") {
          expect(isFresh || response.isNeverStale).toBe(false);
          const stale = age - response.lifetimeMs;
          const isOwn = stale < response.staleWhileRevalidateMs;
          const most = request.maxStale === "" ? Infinity : request.maxStale === "=1" ? 1_000 : 0;
          const isAskedFor = request.maxStale !== undefined && stale <= most && !response.isSeldomStale;
          expect(isOwn || isAskedFor).toBe(true);
          expect(reuse.isRenewed).toBe(isOwn);
        }
        if (isFresh && field === "" && !response.isAlwaysValidated) expect(reuse.kind).toBe("fresh");
        if (isServedOnError(response, directives, nowMs)) {
          expect(response.isNeverStale || response.isAlwaysValidated || request.noCache).toBe(false);
          expect(age - response.lifetimeMs).toBeLessThan(response.staleIfErrorMs);
        }
      }),
      { numRuns: 5_000 },
    );
  });
});

describe("dates", () => {
  it("are read back in the form in which they are written, and in the two old ones", () => {
    const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    fc.assert(
      fc.property(fc.integer({ min: NOW - 1_000_000_000, max: NOW + 1_000_000_000 }), (time) => {
        const ms = time * 1_000;
        const text = formatHttpDate(ms);
        expect(parseHttpDate(text, ms)).toBe(ms);
        const [, day, month, year, clock] = /^\w+, (\d\d) (\w+) (\d+) (\S+) GMT$/.exec(text)!;
        const name = DAYS[new Date(ms).getUTCDay()]!;
        expect(parseHttpDate(`${name}, ${day}-${month}-${year!.slice(2)} ${clock} GMT`, ms)).toBe(ms);
        expect(
          parseHttpDate(`${name.slice(0, 3)} ${month} ${day!.replace(/^0/, " ")} ${clock} ${year}`, ms),
        ).toBe(ms);
      }),
      { numRuns: 1_000 },
    );
  });

  it("are nothing when they are anything else", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(parseHttpDate(text, NOW * 1_000)).toBeUndefined();
      }),
    );
    for (const text of [
      "0",
      "-1",
      "Sun, 31 Feb 2026 00:00:00 GMT",
      "Sun, 06 Nov 1994 24:00:00 GMT",
      "Sun, 06 Nov 1994 08:49:37 CET",
    ])
      expect(parseHttpDate(text, NOW * 1_000), text).toBeUndefined();
  });

  it("with two digits for a year are never more than 50 years ahead", () => {
    fc.assert(
      fc.property(fc.nat(99), (year) => {
        const text = `Sunday, 06-Nov-${String(year).padStart(2, "0")} 08:49:37 GMT`;
        const full = new Date(parseHttpDate(text, NOW * 1_000)!).getUTCFullYear();
        expect(full % 100).toBe(year);
        expect(full).toBeGreaterThan(2026 - 50 - 1);
        expect(full).toBeLessThanOrEqual(2026 + 50);
      }),
    );
  });
});

describe("Cache-Control", () => {
  it("is found whatever surrounds its directives, and never believed more than once", () => {
    const junk = fc.stringMatching(/^[a-z0-9=,;" -]{0,12}$/);
    fc.assert(
      fc.property(junk, junk, fc.constantFrom("no-store", "private", "NO-STORE"), (before, after, word) => {
        fc.pre(!/[a-z0-9-]$/.test(before) && !/^[a-z0-9-]/.test(after));
        // Behind "=" and between quotes it is an argument.
        fc.pre(!/=\s*$/.test(before) && !before.includes('"'));
        expect(directivesOf(before + word + after).has(word.toLowerCase())).toBe(true);
      }),
      { numRuns: 2_000 },
    );
    fc.assert(
      fc.property(fc.nat(1e6), fc.nat(1e6), (one, other) => {
        const told = msOf(directivesOf(`max-age=${one}, max-age=${other}`), "max-age", 0);
        expect(told).toBe(one === other ? one * 1_000 : 0);
      }),
    );
  });

  it("takes any text at all", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
        for (const name of directivesOf(text).keys()) expect(name).toBe(name.toLowerCase());
      }),
    );
    expect(msOf(directivesOf("max-age=99999999999999999999"), "max-age", 0)).toBe(2 ** 31 * 1_000);
  });
});

describe("variants", () => {
  it("differ exactly when a field that counts does, so that no two fields can be taken for one", async () => {
    const value = fc.option(fc.constantFrom("", "a", "b", 'a","b', "a,b", '["x","a"]', "a b"), {
      nil: undefined,
    });
    const request = fc.record({ x: value, y: value, z: value });
    const headersOf = (fields: Record<string, string | undefined>): Headers => {
      const headers = new Headers();
      for (const [name, text] of Object.entries(fields)) if (text !== undefined) headers.set(name, text);
      return headers;
    };
    await fc.assert(
      fc.asyncProperty(request, request, fc.boolean(), async (one, other, isSecret) => {
        const names = varyNamesOf("Y, x, y")!;
        expect(names).toEqual(["x", "y"]);
        const secrets = new Set(isSecret ? ["x"] : []);
        const variants = await Promise.all(
          [one, other].map((fields) => variantOf(names, headersOf(fields), secrets)),
        );
        expect(variants[0] === variants[1]).toBe(one.x === other.x && one.y === other.y);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("addresses", () => {
  it("are normal once they were made so, and mean the same to a server", () => {
    fc.assert(
      fc.property(fc.webUrl({ withQueryParameters: true, withFragments: true }), (url) => {
        const normal = normalisedUrl(url);
        expect(normalisedUrl(normal)).toBe(normal);
        const [one, other] = [new URL(url), new URL(normal)];
        expect(other.hash).toBe("");
        expect(decodeURIComponent(other.pathname)).toBe(decodeURIComponent(one.pathname));
        expect([...other.searchParams]).toEqual([...one.searchParams]);
      }),
      { numRuns: 1_000 },
    );
  });
});

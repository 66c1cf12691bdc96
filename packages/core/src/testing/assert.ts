// Assertions that throw and need no test runner: what conformance suites are written with.

/** The part of a test runner that a conformance suite needs: vitest, `node:test` and jest have it. */
export interface ConformanceRunner {
  describe(title: string, body: () => void): unknown;
  it(title: string, body: () => Promise<void>): unknown;
}

/** A clause of a contract that an implementation does not keep. */
export class ConformanceError extends Error {
  override readonly name = "ConformanceError";
}

/** @throws ConformanceError unless `holds`. */
export function ensure(holds: boolean, what: string): asserts holds {
  if (!holds) throw new ConformanceError(what);
}

/** @throws ConformanceError unless both are deeply equal. Properties that are `undefined` count as missing. */
export function same(actual: unknown, expected: unknown, what: string): void {
  if (!isSame(actual, expected)) ensure(false, `${what}: got ${shown(actual)}, not ${shown(expected)}`);
}

/** The value. @throws ConformanceError when there is none. */
export function present<T>(value: T | undefined, what: string): T {
  ensure(value !== undefined, `${what}: there is none`);
  return value;
}

function isSame(actual: unknown, expected: unknown): boolean {
  if (Object.is(actual, expected)) return true;
  if (typeof actual !== "object" || typeof expected !== "object") return false;
  if (actual === null || expected === null) return false;
  if (Array.isArray(actual) !== Array.isArray(expected)) return false;
  if (actual instanceof Uint8Array !== expected instanceof Uint8Array) return false;
  const left = actual as Record<string, unknown>;
  const right = expected as Record<string, unknown>;
  return [...new Set([...Object.keys(left), ...Object.keys(right)])].every((key) =>
    isSame(left[key], right[key]),
  );
}

function shown(value: unknown): string {
  return value === undefined ? "undefined" : JSON.stringify(value);
}

// Values as texts for a shared store, so that what is read is what was kept.
import { optionsOf } from "@holdfast/core";
import type { CacheCodec } from "../contract.ts";
import { base64Of, bytesOf } from "./base64.ts";

/** Says in an object what stands for what. */
const MARK = "$holdfast";

/** First character: nothing is marked, so that reading it is reading JSON. */
const PLAIN = "p";
const MARKED = "m";

/**
 * JSON, in which `undefined`, `NaN`, the infinities, `-0`, `bigint`, `Date`, `Map`, `Set` and `Uint8Array` stay what they
 * are. Objects of other classes are read as plain ones.
 *
 * @throws InvalidOptionError from `encode` for functions and symbols, and for objects that contain themselves.
 *
 * @example
 * ```ts
 * import { jsonCodec } from "@holdfast/cache";
 *
 * const codec = jsonCodec<{ at: Date; total: bigint }>();
 * const text = await codec.encode({ at: new Date(0), total: 12n });
 * (await codec.decode(text)).total; // => 12n
 * ```
 */
export function jsonCodec<Value>(): CacheCodec<Value> {
  return {
    encode: (value) => {
      const marker = new Marker();
      const text = written(marker, value);
      return (marker.hasMarked ? MARKED : PLAIN) + text;
    },
    decode: (text) => {
      const value: unknown = JSON.parse(text.slice(1));
      return (text[0] === PLAIN ? value : unmarked(value)) as Value;
    },
  };
}

interface Marked {
  readonly [MARK]: string;
  readonly of?: unknown;
}

class Marker {
  hasMarked = false;

  /** What JSON is to write for it. */
  replace(raw: unknown, json: unknown): unknown {
    switch (typeof raw) {
      case "string":
      case "boolean":
        return raw;
      case "undefined":
        return this.#mark("undefined");
      case "bigint":
        return this.#mark("bigint", String(raw));
      case "number":
        return Number.isFinite(raw) && !Object.is(raw, -0) ? raw : this.#mark("number", numberText(raw));
      case "function":
      case "symbol":
        return optionsOf("cache").refuse("value", raw, "something that can be written as JSON");
      case "object":
        return raw === null ? null : this.#object(raw, json);
    }
  }

  #object(raw: object, json: unknown): unknown {
    if (raw instanceof Date) return this.#mark("date", raw.getTime());
    if (raw instanceof Map) return this.#mark("map", [...raw]);
    if (raw instanceof Set) return this.#mark("set", [...raw]);
    if (raw instanceof Uint8Array) return this.#mark("bytes", base64Of(raw));
    // One of the caller's own that looks like ours.
    if (Object.hasOwn(raw, MARK)) return this.#mark("object", Object.entries(raw));
    return json;
  }

  #mark(kind: string, of?: unknown): Marked {
    this.hasMarked = true;
    return of === undefined ? { [MARK]: kind } : { [MARK]: kind, of };
  }
}

function written(marker: Marker, value: unknown): string {
  try {
    // The holder has the value as it was before any toJSON. Marks themselves are plain texts and pass.
    return JSON.stringify(value, function (this: Record<string, unknown>, name, json: unknown) {
      return marker.replace(this[name], json);
    });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return optionsOf("cache").refuse(
      "value",
      value,
      `something that can be written as JSON (${error.message})`,
    );
  }
}

/** As it was before it was marked; not a reviver, since those cannot bring `undefined` back. */
function unmarked(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(unmarked);
  const { [MARK]: kind, of } = value as Marked;
  if (kind !== undefined) return meant(kind, unmarked(of));
  return Object.fromEntries(Object.entries(value).map(([name, child]) => [name, unmarked(child)]));
}

function meant(kind: string, of: unknown): unknown {
  switch (kind) {
    case "undefined":
      return undefined;
    case "bigint":
      return BigInt(of as string);
    case "number":
      return of === "-0" ? -0 : Number(of);
    case "date":
      return new Date(of as number);
    case "map":
      return new Map(of as [unknown, unknown][]);
    case "set":
      return new Set(of as unknown[]);
    case "bytes":
      return bytesOf(of as string);
    case "object":
      return Object.fromEntries(of as [string, unknown][]);
    default:
      return optionsOf("cache").refuse("payload", kind, "a mark that this version knows");
  }
}

function numberText(number: number): string {
  return Object.is(number, -0) ? "-0" : String(number);
}

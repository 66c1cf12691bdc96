// Traces that were recorded: lines of time and model.
import type { OptionReader } from "@holdfast/core";
import { optionsOf } from "@holdfast/core";
import type { Trace } from "./arrivals.ts";

/** Requests that were recorded. */
export interface RecordedTrace extends Trace {
  /** What the models are called. */
  readonly names: readonly string[];
}

/** Most models of a trace: they are kept as 16 bits. */
const MOST_MODELS = 65_536;

/** A time, then a model, which may be in quotes, then what does not matter. */
const LINE = /^([^,]*)(?:,\s*(?:"((?:[^"]|"")*)"|([^,]*)))?/;

/**
 * Reads a trace: a line for each request with its time in milliseconds and its model, in any order. A first line that
 * starts with no number is a heading.
 *
 * @param models - Names that may occur. @defaultValue any, in the order in which requests for them come
 * @throws InvalidOptionError when a line cannot be read, or names another model.
 *
 * @example
 * ```ts
 * import { traceFromCsv } from "@holdfast/gpu-pool/sim";
 *
 * const { names, times } = traceFromCsv("ms,model\n0,llama\n12.5,flux\n");
 * [names, times.at(-1)]; // => [["llama", "flux"], 12.5]
 * ```
 */
export function traceFromCsv(text: string, models?: readonly string[]): RecordedTrace {
  const check = optionsOf("traceFromCsv");
  const rows: Row[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries())
    if (line.trim() !== "" && (index > 0 || /^\s*[\d.-]/.test(line)))
      rows.push(rowOf(line, `line ${index + 1}`, models, check));
  if (rows.length === 0) check.refuse("text", text.slice(0, 100), "at least one request");
  rows.sort((a, b) => a.at - b.at);
  const names = models ?? [...new Set(rows.map(({ name }) => name))];
  if (names.length > MOST_MODELS) check.refuse("models", names.length, `at most ${MOST_MODELS}`);
  const numbers = new Map(names.map((name, index) => [name, index]));
  return {
    times: Float64Array.from(rows, ({ at }) => at),
    models: Uint16Array.from(rows, ({ name }) => numbers.get(name)!),
    names,
  };
}

interface Row {
  readonly at: number;
  readonly name: string;
}

function rowOf(line: string, where: string, models: readonly string[] | undefined, check: OptionReader): Row {
  const [, time = "", quoted, plain = ""] = LINE.exec(line)!;
  const at = time.trim() === "" ? NaN : Number(time);
  if (!(at >= 0 && at < Infinity)) check.refuse(`${where}: time`, time.trim(), "milliseconds from 0");
  const name = quoted?.replaceAll('""', '"') ?? plain.trim();
  if (name === "") check.refuse(`${where}: model`, name, "a name after the time and a comma");
  if (models?.includes(name) === false) check.refuse(`${where}: model`, name, `one of ${models.join(", ")}`);
  return { at, name };
}

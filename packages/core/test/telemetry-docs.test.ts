import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { coreMetrics, prometheus } from "@holdfast/core";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const document = readFileSync(join(root, "docs", "telemetry.md"), "utf8");

/** A channel as the sources make it. */
interface Declared {
  readonly name: string;
  readonly owner: string;
  readonly event: string;
  /** As the interface of its events has them, `?` behind those that may be absent. */
  readonly fields: readonly string[];
}

describe("docs/telemetry.md", () => {
  it("lists every channel that the packages publish on, and no other", () => {
    const declared = declaredChannels().map(({ name }) => name);
    expect(declared).toContain("holdfast:core:retry");
    const documented = [...document.matchAll(/^### `(holdfast:[^`]+)`$/gm)].map(([, name]) => name!);
    expect(documented.toSorted()).toEqual(declared.toSorted());
  });

  it.each(declaredChannels())("lists the fields of $name", ({ name, fields }) => {
    const section = document.split(`### \`${name}\`\n`)[1]?.split("\n### ")[0] ?? "";
    const documented = [...section.matchAll(/^\| `(\w+\??)` +\| (.*?) *\|$/gm)];
    expect(documented.map(([, field]) => field)).toEqual(fields);
    expect(documented.map(([, , meaning]) => meaning)).not.toContain("");
  });

  it("lists every metric of core with its type, unit, labels and help", () => {
    const rows = coreMetrics
      .flatMap(({ metrics }) => metrics)
      .map(({ name, type, unit, labels, help }) => [name, type, unit, Object.keys(labels ?? {}), help]);
    const cells = [...document.matchAll(/^\| `(holdfast\.[^`]+)` +\|(.*)\|$/gm)].map(([, name, rest]) => {
      const [type, unit, labels, help] = rest!.split("|").map((cell) => cell.trim());
      return [name, type, code(unit!)[0], code(labels!), help];
    });
    expect(cells).toEqual(rows);
  });

  it("tells which span event a channel's events become", () => {
    for (const { owner, event, trace } of coreMetrics) {
      const section = document.split(`### \`holdfast:${owner}:${event}\`\n`)[1]?.split("\n| ")[0];
      const told = /On the active span: `([^`]+)`/.exec(section ?? "")?.[1];
      expect(told, event).toBe(trace?.name);
    }
  });
});

describe("coreMetrics", () => {
  it("has a row for every channel of core, and only for those", () => {
    const declared = declaredChannels().filter(({ owner }) => owner === "core");
    expect(coreMetrics.map(({ event }) => event).toSorted()).toEqual(
      declared.map(({ event }) => event).toSorted(),
    );
  });

  it("reads only fields that are documented, and no label that may have many values", () => {
    const allowed = new Set(["policy", "dependency", "error.type", "reason", "because", "by", "winner"]);
    for (const label of ["code", "level", "disturbance", "step", "status", "clean"]) allowed.add(label);
    const used = coreMetrics.flatMap(({ metrics }) =>
      metrics.flatMap(({ labels }) => Object.keys(labels ?? {})),
    );
    expect(used.filter((label) => !allowed.has(label))).toEqual([]);
  });

  it("is named in Prometheus as the document says", () => {
    using numbers = prometheus();
    const families = [...numbers.text().matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, family]) => family);
    expect(families).toContain("holdfast_retry_delay_seconds");
    expect(document).toContain("`holdfast_retry_delay_seconds`");
    const expected = coreMetrics
      .flatMap(({ metrics }) => metrics)
      .map(({ name, type }) => name.replaceAll(".", "_") + (type === "counter" ? "_total" : "_seconds"));
    expect(families).toEqual(expected);
  });
});

/** Every `channel<Event>("package", "event")` of the packages' sources, doc comments aside. */
function declaredChannels(): Declared[] {
  return packageNames().flatMap((folder) => {
    const sources = sourcesUnder(join(root, "packages", folder, "src"));
    return sources.flatMap((source) =>
      [...source.matchAll(/^(?! \*).*\bchannel<(\w+)>\(\s*"([\w-]+)",\s*"(\w+)"/gm)].map(
        ([, type, owner, event]) => ({
          name: `holdfast:${owner}:${event}`,
          owner: owner!,
          event: event!,
          fields: fieldsOf(type!, sources),
        }),
      ),
    );
  });
}

function packageNames(): string[] {
  return readdirSync(join(root, "packages"));
}

function sourcesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => readFileSync(join(folder, file), "utf8"));
}

/** The fields of an interface, those it extends first. */
function fieldsOf(type: string, sources: readonly string[]): string[] {
  const pattern = new RegExp(`^export interface ${type}(?: extends (\\w+))? \\{\\n([\\s\\S]*?)^\\}`, "m");
  const found = sources.map((source) => pattern.exec(source)).find((match) => match !== null);
  if (found === undefined) throw new Error(`no interface ${type}`);
  const inherited = found[1] === undefined ? [] : fieldsOf(found[1], sources);
  return [...inherited, ...[...found[2]!.matchAll(/^ {2}readonly (\w+\??):/gm)].map(([, field]) => field!)];
}

/** What stands between backticks. */
function code(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, text]) => text!);
}

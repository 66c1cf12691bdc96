// Whether a Redis is fit for tasks.
import { systemClock } from "@holdfast/core";
import type { Check } from "./doctor.ts";

/** A clock that is off by more makes what is shown here wrong; tasks go by the server's alone. */
const SKEW_MS = 2_000;
const FULL = 0.9;

/** What was found about one master of a Cluster. */
export interface NodeChecks {
  /** Its host and port. */
  readonly name: string;
  readonly checks: readonly Check[];
}

/** Check by check, each with what it is of every master. */
export function clusterChecks(nodes: readonly NodeChecks[]): readonly Check[] {
  const all = nodes.flatMap(({ name: node, checks }) =>
    checks.map((check) => ({ ...check, text: `${node}: ${check.text}` })),
  );
  const names = new Set(all.map(({ name }) => name));
  return Array.from(names, (name) => all.filter((check) => check.name === name)).flat();
}

/**
 * @param info - What `INFO` answers.
 * @param time - What `TIME` answers: seconds and microseconds.
 */
export function redisChecks(info: string, time: readonly (string | number)[]): readonly Check[] {
  const fields = new Map(
    info.split(/\r?\n/).map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, Math.max(0, colon)), line.slice(colon + 1)];
    }),
  );
  const field = (name: string): string => fields.get(name) ?? "unknown";
  return [
    versionCheck(field("redis_version")),
    {
      name: "role",
      level: field("role") === "master" ? "ok" : "fault",
      text: field("role") === "master" ? "master" : `a ${field("role")}, which takes no writes`,
    },
    evictionCheck(field("maxmemory_policy")),
    memoryCheck(Number(field("used_memory")), Number(field("maxmemory"))),
    ...durabilityChecks(field),
    clockCheck(Number(time[0]) * 1_000 + Number(time[1]) / 1_000),
  ];
}

function versionCheck(version: string): Check {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const isOld = major < 6 || (major === 6 && minor < 2);
  return {
    name: "version",
    level: isOld ? "fault" : "ok",
    text: isOld ? `${version}, older than 6.2` : version,
  };
}

function evictionCheck(policy: string): Check {
  const isSafe = policy === "noeviction";
  const text = isSafe ? policy : `${policy} may throw tasks away: set maxmemory-policy to noeviction`;
  return { name: "eviction", level: isSafe ? "ok" : "fault", text };
}

function memoryCheck(used: number, max: number): Check {
  const name = "memory";
  const text = `${mebibytes(used)} in use`;
  if (!(max > 0)) return { name, level: "ok", text: `${text}, no limit` };
  const share = used / max;
  return { name, level: share > FULL ? "warning" : "ok", text: `${text} of ${mebibytes(max)}` };
}

function durabilityChecks(field: (name: string) => string): readonly Check[] {
  const name = "persistence";
  if (field("aof_enabled") !== "1")
    return [
      { name, level: "warning", text: "appendonly is off: a crash loses what came since the last snapshot" },
    ];
  const isWritten = field("aof_last_write_status") === "ok";
  return [
    isWritten
      ? { name, level: "ok", text: "append-only file" }
      : { name, level: "fault", text: "the append-only file could not be written" },
  ];
}

function clockCheck(serverMs: number): Check {
  const skew = Math.round(serverMs - systemClock.now());
  const isOff = Math.abs(skew) > SKEW_MS;
  return {
    name: "clock",
    level: isOff ? "warning" : "ok",
    text: isOff
      ? `${Math.abs(skew)} ms ${skew > 0 ? "ahead of" : "behind"} this machine's`
      : "as this machine's",
  };
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MiB`;
}

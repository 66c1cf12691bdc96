// Figures as a table on the screen and as JSON beside it.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";

/** A measured row as it is written: ratios are peer ÷ ours, so above 1 ours is the faster one. */
export function toResult(row, { ours, ...peers }) {
  // Of what is not a time there may be none at all, to which nothing has a ratio.
  const compared = row.unit === undefined ? Object.entries(peers) : [];
  const ratio = Object.fromEntries(compared.map(([name, value]) => [name, round(value / ours)]));
  const figures = { ours, ratio, peers };
  return {
    name: row.name,
    unit: row.unit ?? "ns/op",
    ours: round(ours),
    peers: Object.fromEntries(Object.entries(peers).map(([name, value]) => [name, round(value)])),
    ratio,
    target: row.target ?? null,
    met: row.target === undefined ? null : shortfalls(row.target, figures).length === 0,
  };
}

export function printHeader(suite, quick) {
  console.log(
    `\nsuite ${suite}${quick ? " (quick: figures are rough)" : ""}, ${machine()}, Node ${process.version}\n`,
  );
}

export function printRow({ name, unit, ours, peers, ratio, target, met }) {
  const shown = (value) =>
    unit === "ns/op" ? nanoseconds(value) : `${value.toFixed(0).padStart(8)} ${unit}`;
  const verdict = met === null ? "" : met ? "  reached" : "  SHORT";
  console.log(`${name}\n  ${"ours".padEnd(34)}${shown(ours)}${verdict}`);
  for (const [peer, value] of Object.entries(peers))
    console.log(
      `  ${peer.padEnd(34)}${shown(value)}${peer in ratio ? `  ${ratio[peer].toFixed(2)} ×` : ""}`.trimEnd(),
    );
  if (target !== null)
    for (const line of shortfalls(target, { ours, ratio, peers })) console.log(`  short: ${line}`);
}

export function printSummary(rows, file) {
  const judged = rows.filter(({ met }) => met !== null);
  const reached = judged.filter(({ met }) => met).length;
  console.log(`\n${reached} of ${judged.length} targets reached`);
  if (file !== undefined) console.log(`written to ${file}`);
}

/** Writes `results/<suite>.json` and answers its name. */
export function writeResult(folder, suite, rows) {
  mkdirSync(join(folder, "results"), { recursive: true });
  const result = { suite, machine: machine(), node: process.version, commit: commit(folder), rows };
  writeFileSync(join(folder, "results", `${suite}.json`), `${JSON.stringify(result, null, 2)}\n`);
  return `benchmarks/results/${suite}.json`;
}

/**
 * `min`, `notBelow` and `notAbove` are for rows that are no times: a figure, or so many times a peer's. `near` has what
 * others found for peers, from the lowest to the highest, of which they may be 3 % apart.
 */
function shortfalls(
  { maxNs, minRatio = {}, min, notBelow = {}, notAbove = {}, near = {} },
  { ours, ratio, peers },
) {
  const short = Object.entries(minRatio)
    .filter(([peer, least]) => ratio[peer] < least)
    .map(([peer, least]) => `${ratio[peer].toFixed(2)} × ${peer}, the target is ${least} ×`);
  if (maxNs !== undefined && ours > maxNs) short.unshift(`${ours.toFixed(0)} ns, the target is ${maxNs} ns`);
  if (min !== undefined && ours < min) short.unshift(`${ours.toFixed(0)}, the target is ${min}`);
  for (const [peer, times] of Object.entries(notBelow))
    if (ours < peers[peer] * times)
      short.push(`${ours.toFixed(0)} is below ${peer}, ${peers[peer].toFixed(0)}`);
  for (const [peer, times] of Object.entries(notAbove))
    if (ours > peers[peer] * times)
      short.push(`${ours.toFixed(0)} is above ${peer}, ${peers[peer].toFixed(0)}`);
  for (const [peer, [low, high]] of Object.entries(near)) {
    const found = Math.min(Math.max(peers[peer], low), high);
    const apart = Math.abs(peers[peer] / found - 1);
    if (apart > 0.03)
      short.push(`${peer} is ${(apart * 100).toFixed(1)} % from the ${found} that others found`);
  }
  return short;
}

function machine() {
  const [first] = cpus();
  const gib = Math.round(totalmem() / 2 ** 30);
  return `${first?.model.trim() ?? "unknown CPU"}, ${cpus().length} cores, ${gib} GiB, ${process.platform} ${process.arch}`;
}

function commit(folder) {
  try {
    const git = (...args) => execFileSync("git", args, { cwd: folder, encoding: "utf8" }).trim();
    const changed = git("status", "--porcelain", "--", "../packages/*/src") === "" ? "" : "-modified";
    return git("rev-parse", "--short", "HEAD") + changed;
  } catch {
    return "unknown";
  }
}

function nanoseconds(value) {
  return `${value.toFixed(value < 10 ? 2 : 0).padStart(8)} ns`;
}

function round(value) {
  return Math.round(value * 100) / 100;
}

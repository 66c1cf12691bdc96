// `--once`: a scripted run against the real service, with a summary one can read.
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asError, systemClock } from "@holdfast/core";
import { Client } from "./client.ts";
import { STEPS } from "./steps.ts";

/** Runs every step and prints what came of it. Answers whether all went well. */
export async function runScenario(url: string): Promise<boolean> {
  const clock = systemClock;
  const client = new Client(url, clock);
  const folder = await mkdtemp(join(tmpdir(), "holdfast-inference-"));
  const width = Math.max(...STEPS.map(({ title }) => title.length));
  const startedAt = clock.monotonic();
  let failures = 0;
  console.log(`Holdfast inference at ${url}\n`);
  for (const { title, run } of STEPS) {
    const stepAt = clock.monotonic();
    let outcome: string;
    let mark = "ok  ";
    try {
      outcome = await run(client, folder);
    } catch (error) {
      failures += 1;
      mark = "FAIL";
      outcome = asError(error).message;
    }
    const tookMs = Math.round(clock.monotonic() - stepAt);
    console.log(`${mark} ${title.padEnd(width)} ${String(tookMs).padStart(6)} ms  ${outcome}`);
  }
  const total = ((clock.monotonic() - startedAt) / 1_000).toFixed(1);
  console.log(`\n${STEPS.length - failures} of ${STEPS.length} steps went well in ${total} s.`);
  console.log(`Pictures: ${folder}`);
  return failures === 0;
}

#!/usr/bin/env node
// `holdfast-queue`: looks at a queue and operates it from a terminal or a script.
import { systemClock } from "@holdfast/core";
import { runCli } from "./run-cli.ts";

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
// A reader that has seen enough, such as `head`, closes the pipe.
process.stdout.on("error", () => stop.abort());

process.exitCode = await runCli(process.argv.slice(2), {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  clock: systemClock,
  stop: stop.signal,
  columns: process.stdout.columns ?? 100,
});
// Whatever has been said has arrived; a connection that does not let go is not waited for.
process.stdout.write("", () => process.exit());

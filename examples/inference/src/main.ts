// `node dist/main.js` opens the service; `--once` runs a scenario against it and ends.
import { hasCode, shutdown } from "@holdfast/core";
import type { CommandLine } from "./command-line.ts";
import { readCommandLine } from "./command-line.ts";
import type { Inference } from "./inference.ts";
import { startInference } from "./inference.ts";
import { runScenario } from "./scenario/scenario.ts";

/** How many further ports are tried when one is taken. */
const PORTS_TRIED = 20;

await main();

async function main(): Promise<void> {
  const line = readCommandLine(process.argv.slice(2), process.env["PORT"]);
  if (typeof line === "string") {
    refuse(line);
    return;
  }
  let service: Inference;
  try {
    service = await start(line);
  } catch (error) {
    if (!hasCode(error, "JOURNAL_LOCKED")) throw error;
    refuse(`${error.message} Give --memory, or --journal with another path.`);
    return;
  }
  if (line.once) {
    const isFine = await runScenario(service.url);
    await service.close(1_000);
    process.exitCode = isFine ? 0 : 1;
    return;
  }
  const ending = shutdown({ deadline: "10s" });
  ending.onShutdown("service", ({ remainingMs }) => service.close(Math.max(0, remainingMs - 2_000)));
  console.log(`Holdfast inference is open at ${service.url}`);
  console.log("Submit a picture or a prompt there, or with curl; Ctrl-C ends it.");
}

function refuse(message: string): void {
  console.error(message);
  process.exitCode = 2;
}

function start({ once, port, tasks }: CommandLine): Promise<Inference> {
  return startInference({
    // A scenario needs no particular address.
    port: once ? 0 : port,
    furtherPorts: PORTS_TRIED,
    tasks,
    models: new URL("./models.js", import.meta.url),
    page: new URL("./page/", import.meta.url),
    onError: (error) => console.error(error),
  });
}

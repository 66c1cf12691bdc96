// `node dist/main.js` opens the service; `--once` runs a scenario against it and ends.
import { shutdown } from "@holdfast/core";
import type { Inference } from "./inference.ts";
import { startInference } from "./inference.ts";
import { runScenario } from "./scenario/scenario.ts";

/** How many further ports are tried when one is taken. */
const PORTS_TRIED = 20;

await main();

async function main(): Promise<void> {
  const isOnce = process.argv.includes("--once");
  const given = process.env["PORT"];
  const port = Number(given ?? 3_000);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    console.error(`PORT must be an integer from 0 to 65535, not ${JSON.stringify(given)}`);
    process.exitCode = 2;
    return;
  }
  // A scenario needs no particular address.
  const service = await start(isOnce ? 0 : port);
  if (isOnce) {
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

function start(port: number): Promise<Inference> {
  return startInference({
    port,
    furtherPorts: PORTS_TRIED,
    models: new URL("./models.js", import.meta.url),
    page: new URL("./page/", import.meta.url),
    onError: (error) => console.error(error),
  });
}

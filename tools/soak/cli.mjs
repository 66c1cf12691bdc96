// `npm run soak [-- --minutes 10 --store redis]`: every acknowledged task ends once, whatever is killed; prints figures.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { prepare } from "../bootstrap/prepare.mjs";
import { startPostgres, startRedis } from "../services/index.mjs";
import { soak } from "./soak.mjs";

const USAGE = `npm run soak -- [options]

  --minutes 10           how long tasks are added while processes are killed and frozen and the server is restarted
  --store redis          memory, journal, redis or postgres
`;
const STORES = /** @type {const} */ (["memory", "journal", "redis", "postgres"]);

process.exitCode = await main();

async function main() {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "10" },
      store: { type: "string", default: "redis" },
      help: { type: "boolean" },
    },
  });
  const minutes = Number(values.minutes);
  const kind = STORES.find((one) => one === values.store);
  if (values.help === true || kind === undefined || !(minutes > 0 && minutes <= 10_000)) {
    console.log(USAGE);
    return values.help === true ? 0 : 2;
  }
  await prepare();
  const folder = mkdtempSync(join(tmpdir(), "soak-"));
  const server = await serverFor(kind);
  try {
    const place = server?.url ?? join(folder, "tasks.journal");
    const say = (/** @type {string} */ line) => console.log(`· ${line}`);
    const { faults, ...figures } = await soak({ kind, place, minutes, say, ...(server ? { server } : {}) });
    for (const [name, value] of Object.entries(figures)) console.log(`${name}: ${String(value)}`);
    for (const fault of faults.slice(0, 20)) console.log(`FAULT: ${fault}`);
    console.log(`faults: ${faults.length}`);
    return faults.length === 0 ? 0 : 1;
  } finally {
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {(typeof STORES)[number]} kind */
async function serverFor(kind) {
  if (kind === "redis") return startRedis({ appendOnly: true });
  return kind === "postgres" ? startPostgres({ durable: true }) : undefined;
}

// `node packages/cache/sim/cli.mjs` measures hit rates and writes `docs/cache-hit-rates.md` and its picture; build core first.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { format, resolveConfig } from "prettier";
import { hitRateChart } from "./chart.mjs";
import { measureHitRates } from "./hit-rates.mjs";
import { loadEntryTable } from "./load-table.mjs";
import { hitRatePage } from "./page.mjs";

const docs = join(import.meta.dirname, "../../../docs");
const measured = measureHitRates(await loadEntryTable());
const page = join(docs, "cache-hit-rates.md");
mkdirSync(join(docs, "cache"), { recursive: true });
writeFileSync(
  page,
  await format(hitRatePage(measured), { ...(await resolveConfig(page)), parser: "markdown" }),
);
writeFileSync(join(docs, "cache/hit-rates.svg"), hitRateChart(measured));
console.table(measured.map(({ trace, size, rates }) => ({ trace, size, ...rates })));

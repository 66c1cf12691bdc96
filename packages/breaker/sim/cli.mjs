// `node packages/breaker/sim/cli.mjs` runs the scenarios and writes their pictures to `docs/breaker/`; build first.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { svgChart } from "./chart.mjs";
import { SCENARIOS } from "./scenarios.mjs";

const folder = join(import.meta.dirname, "../../../docs/breaker");
mkdirSync(folder, { recursive: true });
for (const [name, scenario] of Object.entries(SCENARIOS)) {
  const { figures, chart } = await scenario();
  writeFileSync(join(folder, `${name}.svg`), svgChart(chart));
  console.log(`docs/breaker/${name}.svg`);
  console.table(figures);
}

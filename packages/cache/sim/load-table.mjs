// The package's own table, from its sources: it is no part of what is published.
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** @returns {Promise<(options: any) => any>} `entryTable` of `src/eviction`. */
export async function loadEntryTable() {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("../src/eviction/entry-table.ts", import.meta.url))],
    bundle: true,
    write: false,
    format: "esm",
    platform: "neutral",
    external: ["node:*"],
  });
  const code = Buffer.from(outputFiles[0].contents).toString("base64");
  const { entryTable } = await import(`data:text/javascript;base64,${code}`);
  return entryTable;
}

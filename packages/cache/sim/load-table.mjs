// The package's own table, from its sources: it is no part of what is published.
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** @returns {Promise<(options: any) => any>} Makes tables by the names of their evictions. */
export async function loadEntryTable() {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("../src/eviction/eviction.ts", import.meta.url))],
    bundle: true,
    write: false,
    format: "esm",
    platform: "neutral",
    external: ["node:*"],
  });
  const code = Buffer.from(outputFiles[0].contents).toString("base64");
  const { lru, wTinyLfu } = await import(`data:text/javascript;base64,${code}`);
  return ({ eviction, ...bounds }) => (eviction === "lru" ? lru() : wTinyLfu()).table(bounds);
}

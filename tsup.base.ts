// How every package is bundled: ESM, shared chunks (one class identity across subpaths), declarations beside.
import type { Options } from "tsup";

/** Entry name in `dist/` → source file. */
export type Entries = Record<string, string>;

export function bundle(entry: Entries): Options {
  return {
    entry,
    format: "esm",
    target: "node20",
    platform: "neutral",
    splitting: true,
    treeshake: true,
    clean: true,
    sourcemap: true,
    external: [/^node:/],
    loader: { ".lua": "text", ".sql": "text" },
    // tsup 8.5's declaration step passes options that TypeScript 6 calls deprecated.
    dts: { compilerOptions: { ignoreDeprecations: "6.0" } },
  };
}

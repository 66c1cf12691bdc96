// How every package is bundled: ESM, shared chunks (one class identity across subpaths), declarations beside.
import { resolve } from "node:path";
import { build } from "esbuild";
import type { Options } from "tsup";

/** Entry name in `dist/` → source file. */
export type Entries = Record<string, string>;

type Plugin = NonNullable<Options["esbuildPlugins"]>[number];

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
    esbuildPlugins: [pageText],
    // tsup 8.5's declaration step passes options that TypeScript 6 calls deprecated.
    dts: { compilerOptions: { ignoreDeprecations: "6.0" } },
  };
}

/** A script or style sheet of a page, with all it imports, as the text that browsers are sent. */
export async function pageBundle(file: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [file],
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    platform: "browser",
    logLevel: "silent",
  });
  return outputFiles[0]!.text;
}

/** What is imported with `?page` is the text of its bundle. */
const pageText: Plugin = {
  name: "page-text",
  setup: (esbuild) => {
    esbuild.onResolve({ filter: /\?page$/ }, ({ path, resolveDir }) => ({
      // The suffix stays: tsup has its own ways with what ends in .css.
      path: resolve(resolveDir, path),
      namespace: "page-text",
    }));
    esbuild.onLoad({ filter: /.*/, namespace: "page-text" }, async ({ path }) => ({
      contents: await pageBundle(path.replace(/\?page$/, "")),
      loader: "text",
    }));
  },
};

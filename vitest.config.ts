// One vitest for the whole repo. Tests run on the sources: the aliases come from tsconfig.json's `paths`.
import { readFileSync } from "node:fs";
import { dirname, resolve as resolvePath } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { pageBundle } from "./tsup.base.ts";

const root = fileURLToPath(new URL(".", import.meta.url));
const { compilerOptions } = JSON.parse(readFileSync(`${root}tsconfig.json`, "utf8")) as {
  compilerOptions: { paths: Record<string, [string]> };
};

// `npm run test:nodes` tests what is published instead: the names then lead to `dist/`, through `exports`.
const onDist = process.env["HOLDFAST_TEST_DIST"] === "1";
const resolve = {
  alias: Object.entries(onDist ? {} : compilerOptions.paths).map(([name, [file]]) => ({
    find: new RegExp(`^${name}$`),
    replacement: root + file.slice(2),
  })),
};

/** A `.lua` or `.sql` script is imported as its text, as the bundles do. */
const scriptsAsText = {
  name: "scripts-as-text",
  transform(code: string, id: string): string | undefined {
    return /\.(?:lua|sql)$/.test(id) ? `export default ${JSON.stringify(code)};` : undefined;
  },
};

/** What is imported with `?page` is the text that browsers are sent, as the bundles do. */
const pageAsText = {
  name: "page-as-text",
  enforce: "pre" as const,
  resolveId(source: string, importer: string | undefined): string | undefined {
    if (!source.endsWith("?page") || importer === undefined) return undefined;
    return `\0page:${resolvePath(dirname(importer), source.slice(0, -"?page".length))}.text`;
  },
  async load(id: string): Promise<string | undefined> {
    if (!id.startsWith("\0page:")) return undefined;
    return `export default ${JSON.stringify(await pageBundle(id.slice("\0page:".length, -".text".length)))};`;
  },
};

const common = { resolve, plugins: [scriptsAsText, pageAsText] };
const setupFiles = ["tools/run/fast-check-setup.mjs"];
const folders = "{packages,examples}/*/test/**";

export default defineConfig({
  ...common,
  test: {
    reporters: ["default"],
    // Both cores: of two, vitest leaves one to itself.
    maxWorkers: "100%",
    projects: [
      {
        ...common,
        test: {
          name: "unit",
          include: [`${folders}/*.test.ts`, "tools/**/*.test.mjs"],
          exclude: ["**/*.int.test.*", "**/*.prop.test.ts", "**/node_modules/**"],
          setupFiles,
          execArgv: ["--expose-gc"],
          // Some simulate minutes: what takes a second here takes many on a host that is shared.
          testTimeout: 30_000,
        },
      },
      {
        ...common,
        test: {
          name: "property",
          setupFiles,
          include: [`${folders}/*.prop.test.ts`],
          testTimeout: 60_000,
        },
      },
      {
        ...common,
        test: {
          name: "integration",
          include: [`${folders}/*.int.test.ts`, "tools/**/*.int.test.mjs"],
          globalSetup: ["tools/services/vitest-setup.mjs"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        ...common,
        test: {
          name: "types",
          include: [],
          typecheck: {
            enabled: true,
            only: true,
            include: [`${folders}/*.test-d.ts`],
            tsconfig: "./tsconfig.json",
          },
        },
      },
    ],
  },
});

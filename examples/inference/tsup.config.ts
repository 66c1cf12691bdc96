import { copyFile } from "node:fs/promises";
import { defineConfig } from "tsup";

const shared = { format: "esm", clean: false, sourcemap: true, treeshake: true } as const;

export default defineConfig([
  {
    ...shared,
    entry: { main: "src/main.ts", models: "src/models.ts" },
    platform: "node",
    target: "node20",
  },
  {
    ...shared,
    entry: { "page/page": "src/page/page.ts" },
    platform: "browser",
    target: "es2022",
    minify: true,
    onSuccess: async () => {
      for (const file of ["index.html", "page.css"]) await copyFile(`src/page/${file}`, `dist/page/${file}`);
    },
  },
]);

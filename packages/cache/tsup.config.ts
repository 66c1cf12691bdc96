import { defineConfig } from "tsup";
import { bundle } from "../../tsup.base.ts";

export default defineConfig(
  bundle({
    index: "src/index.ts",
    file: "src/write-behind/file/index.ts",
    http: "src/http/index.ts",
    postgres: "src/write-behind/postgres/index.ts",
    redis: "src/redis/index.ts",
    testing: "src/testing/index.ts",
  }),
);

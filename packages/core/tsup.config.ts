import { defineConfig } from "tsup";
import { bundle } from "../../tsup.base.ts";

export default defineConfig(
  bundle({
    index: "src/index.ts",
    collections: "src/collections/index.ts",
    node: "src/node/index.ts",
    otel: "src/otel/index.ts",
    postgres: "src/postgres/index.ts",
    redis: "src/redis/index.ts",
    testing: "src/testing/index.ts",
  }),
);

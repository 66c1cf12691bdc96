import { defineConfig } from "tsup";
import { bundle } from "../../tsup.base.ts";

export default defineConfig(
  bundle({
    index: "src/index.ts",
    file: "src/file/index.ts",
    http: "src/http/index.ts",
    redis: "src/redis/index.ts",
    testing: "src/testing.ts",
    ws: "src/ws/index.ts",
  }),
);

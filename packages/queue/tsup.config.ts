import { defineConfig } from "tsup";
import { bundle } from "../../tsup.base.ts";

export default defineConfig(
  bundle({
    index: "src/index.ts",
    blobs: "src/blobs/index.ts",
    cli: "src/cli/main.ts",
    codec: "src/codec/index.ts",
    cron: "src/cron/index.ts",
    dashboard: "src/dashboard/index.ts",
    file: "src/file/index.ts",
    http: "src/http/index.ts",
    postgres: "src/postgres/index.ts",
    otel: "src/otel/index.ts",
    redis: "src/redis/index.ts",
    testing: "src/testing.ts",
    threads: "src/threads/index.ts",
    ws: "src/ws/index.ts",
  }),
);

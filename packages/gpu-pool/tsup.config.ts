import { defineConfig } from "tsup";
import { bundle } from "../../tsup.base.ts";

export default defineConfig(
  bundle({
    index: "src/index.ts",
    "child-processes": "src/child-processes/index.ts",
    discovery: "src/discovery/index.ts",
    file: "src/file/index.ts",
    redis: "src/redis/index.ts",
    servers: "src/servers/index.ts",
    sim: "src/sim/index.ts",
    testing: "src/testing/index.ts",
    "worker-threads": "src/worker-threads/index.ts",
  }),
);

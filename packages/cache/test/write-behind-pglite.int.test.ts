import { setTimeout as sleep } from "node:timers/promises";
import { PGlite } from "@electric-sql/pglite";
import { postgresWriteLog } from "@holdfast/cache/postgres";
import { writeLogConformance } from "@holdfast/cache/testing";
import { afterAll, beforeAll, describe, it } from "vitest";

describe("postgresWriteLog on PGlite", () => {
  let client: PGlite;
  let logs = 0;
  const open = () => postgresWriteLog({ client, name: `log-${(logs += 1)}`, deadline: "10s" });
  beforeAll(async () => {
    client = await PGlite.create();
    await open().migrate();
  });
  afterAll(() => client.close());

  writeLogConformance({ describe, it }, { make: open, advance: sleep, unitMs: 500 });
});

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { tokenBucket } from "@holdfast/ratelimit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";
import type { Inference } from "../src/inference.ts";
import { startInference } from "../src/inference.ts";

const run = promisify(execFile);

let service: Inference;
beforeAll(async () => {
  service = await startInference({
    port: 0,
    threads: 1,
    models: new URL("../dist/models.js", import.meta.url),
    page: new URL("../dist/page/", import.meta.url),
    submissions: tokenBucket({ name: "submissions", capacity: 2, refill: 1, per: "1h" }),
  });
});
afterAll(() => service.close(0));

const curl = async (...args: readonly string[]): Promise<string> =>
  (await run("curl", ["-si", ...args])).stdout;

const submit = (): Promise<string> =>
  curl(
    `${service.url}/v1/tasks`,
    "-H",
    "content-type: application/json",
    "-d",
    JSON.stringify({ prompt: "a lake", width: 64, height: 64 }),
  );

describe("the inference service", () => {
  it(
    row([38, 72], "limits how many pictures one address asks for, and curl shows how it stands"),
    async () => {
      const first = await submit();
      expect(first).toMatch(/^HTTP\/1.1 202/);
      expect(first).toMatch(/^ratelimit-policy: "requests";q=1000;w=5, "submissions";q=2;w=7200\r$/im);
      expect(first).toMatch(/^ratelimit: "requests";r=\d+;t=1, "submissions";r=1;t=3600\r$/im);
      expect(first).toMatch(/^x-ratelimit-remaining: 1\r$/im);
      expect(await submit()).toMatch(/^HTTP\/1.1 202/);
      const refused = await submit();
      expect(refused).toMatch(/^HTTP\/1.1 429/);
      expect(refused).toMatch(/^retry-after: \d+\r$/im);
      expect(refused).toContain('"code":"RATE_LIMITED"');
      // Looking is another limit; health, metrics and the page have none.
      expect(await curl(`${service.url}/v1/state`)).toMatch(/^HTTP\/1.1 200/);
      for (const path of ["/health", "/metrics", "/"]) {
        const answer = await curl(service.url + path);
        expect(answer).toMatch(/^HTTP\/1.1 200/);
        expect(answer).not.toMatch(/^ratelimit/im);
      }
      expect(await curl(`${service.url}/metrics`)).toContain(
        'holdfast_ratelimit_decisions_total{limiter="api",limit="submissions",allowed="false",enforced="true"} 1',
      );
    },
  );
});

import { systemClock } from "@holdfast/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Inference } from "../src/inference.ts";
import { startInference } from "../src/inference.ts";
import { Client } from "../src/scenario/client.ts";
import { asPng, drawn } from "../src/scenario/pictures.ts";

interface Breakers {
  readonly openBreakers: readonly { readonly name: string; readonly state: string }[];
}

describe("a model that ends its threads", () => {
  let service: Inference;
  let client: Client;

  beforeAll(async () => {
    service = await startInference({
      port: 0,
      threads: 1,
      models: new URL("./fixtures/crashing-models.mjs", import.meta.url),
      page: new URL("../dist/page/", import.meta.url),
    });
    client = new Client(service.url, systemClock);
  });

  afterAll(() => service.close(500));

  it("is left alone by its breaker before its thread is taken for broken; its task waits, others go on", async () => {
    const body = JSON.stringify({ prompt: "a lake", width: 64, height: 64 });
    const task = await client.submit("/v1/tasks", body, "application/json");
    await expect
      .poll(async () => (await client.get<Breakers>("/v1/state")).openBreakers, { timeout: 20_000 })
      .toMatchObject([{ name: "model:landscape", state: "open" }]);
    const picture = asPng(drawn(16, 16, 0));
    const other = await client.submit("/v1/tasks?op=denoise", picture, "image/png");
    expect((await client.stream(other)).at(-1)?.type).toBe("completed");
    expect((await client.get<{ state: string }>(task)).state).toBe("scheduled");
    const numbers = await (await fetch(`${service.url}/metrics`)).text();
    expect(numbers).toContain(
      'holdfast_breaker_changes_total{breaker="model:landscape",state="open",reason="tripped"} 1',
    );
    await client.cancel(task);
    // Later tries may have been refused; the first has crashed.
    const firstRetry = (await client.stream(task)).find(({ type }) => type === "retrying");
    expect(firstRetry).toMatchObject({ error: { code: "WORKER_CRASHED" } });
  });
});

import { systemClock } from "@holdfast/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";
import type { Inference } from "../src/inference.ts";
import { startInference } from "../src/inference.ts";
import { Client } from "../src/scenario/client.ts";
import { asPng, drawn } from "../src/scenario/pictures.ts";
import { denoiser, landscaper, upscaler } from "../src/work/models.ts";
import { predictionKey } from "../src/work/predictions.ts";

interface State {
  readonly pool: { readonly completed?: number; readonly devices: readonly object[] };
  readonly predictions: { readonly hits: number; readonly entries: number };
}

describe("a prediction that was made before", () => {
  let service: Inference;
  let client: Client;
  beforeAll(async () => {
    service = await startInference({
      port: 0,
      threads: 1,
      models: new URL("../dist/models.js", import.meta.url),
      page: new URL("../dist/page/", import.meta.url),
    });
    client = new Client(service.url, systemClock);
  });
  afterAll(() => service.close(500));

  const runs = async (): Promise<number> => {
    const numbers = await (await fetch(`${service.url}/metrics`)).text();
    const counts = numbers.matchAll(
      /^holdfast_gpu_pool_request_duration_seconds_count\{pool="pictures".*\} (\d+)$/gm,
    );
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  };

  it(row(183, "is answered from the cache: the same bytes, and no model runs"), async () => {
    const ask = async (prompt: string): Promise<Buffer> => {
      const body = JSON.stringify({ prompt, width: 96, height: 64 });
      const task = await client.submit("/v1/tasks", body, "application/json");
      expect((await client.stream(task)).at(-1)?.type).toBe("completed");
      return Buffer.from(await (await fetch(`${service.url}${task}/result`)).arrayBuffer());
    };
    const first = await ask("a lake");
    expect(await runs()).toBe(1);
    expect(first.equals(await ask("a lake"))).toBe(true);
    expect(await runs()).toBe(1);
    expect(first.equals(await ask("a desert"))).toBe(false);
    expect(await runs()).toBe(2);
    const { predictions } = await client.get<State>("/v1/state");
    expect(predictions).toMatchObject({ hits: 1, entries: 2 });
  });

  it("is another for another model, parameter or picture", () => {
    const upload = (seed: number) => ({ type: "image/png", bytes: asPng(drawn(8, 8, seed)) }) as const;
    const keys = [
      predictionKey(upscaler, { op: "upscale", factor: 2, upload: upload(0) }),
      predictionKey(upscaler, { op: "upscale", factor: 3, upload: upload(0) }),
      predictionKey(upscaler, { op: "upscale", factor: 2, upload: upload(9) }),
      predictionKey(denoiser, { op: "denoise", strength: 20, upload: upload(0) }),
      predictionKey(landscaper, { op: "render", prompt: "a", width: 64, height: 64 }),
      predictionKey(landscaper, { op: "render", prompt: "a", width: 64, height: 65 }),
    ];
    expect(new Set(keys).size).toBe(keys.length);
    expect(predictionKey(upscaler, { op: "upscale", factor: 2, upload: upload(0) })).toBe(keys[0]);
  });
});

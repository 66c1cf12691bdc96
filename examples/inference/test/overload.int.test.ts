import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";
import type { Inference } from "../src/inference.ts";
import { startInference } from "../src/inference.ts";
import { MAX_LIVE_TASKS } from "../src/limits.ts";
import { retryAfterMs } from "../src/work/admission.ts";

let service: Inference;
beforeAll(async () => {
  service = await startInference({
    port: 0,
    threads: 1,
    models: new URL("../dist/models.js", import.meta.url),
    page: new URL("../dist/page/", import.meta.url),
  });
});
afterAll(() => service.close(0));

let asked = 0;
const submit = (): Promise<Response> => {
  asked += 1;
  return fetch(`${service.url}/v1/tasks`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt: `lake number ${asked}`, width: 64, height: 64 }),
  });
};

describe("the inference service under overload", () => {
  it(
    row([180, 186], "answers 503 with when to come back, and takes who comes back then"),
    { timeout: 180_000 },
    async () => {
      // Something has been measured.
      for (let one = 0; one < 3; one += 1) await submit();
      await expect
        .poll(async () => (await state()).queue["completed"], { timeout: 30_000 })
        .toBeGreaterThanOrEqual(3);
      const statuses: number[] = [];
      let refused: Response | undefined;
      for (let one = 0; one < 4 * MAX_LIVE_TASKS && refused === undefined; one += 1) {
        const answer = await submit();
        statuses.push(answer.status);
        if (answer.status === 503) refused = answer;
      }
      expect(refused?.status).toBe(503);
      const after = Number(refused!.headers.get("retry-after"));
      expect(after).toBeGreaterThanOrEqual(1);
      expect(await refused!.json()).toMatchObject({ code: "POOL_SATURATED" });
      const { live, limit } = await state();
      expect(live).toBeLessThanOrEqual(limit);
      await sleep(after * 1_000);
      expect((await submit()).status).toBe(202);
    },
  );

  it("says the time that all there is takes, by what was measured", () => {
    // Two threads, a second each: what runs is worked off in one.
    expect(retryAfterMs(32, { backlogMs: 1_000, waiting: 0, running: 2 })).toBe(16_000);
    expect(retryAfterMs(32, { backlogMs: 10, waiting: 0, running: 1 })).toBe(1_000);
    expect(retryAfterMs(32, { backlogMs: 0, waiting: 0, running: 0 })).toBe(5_000);
  });
});

async function state(): Promise<{ queue: Record<string, number>; live: number; limit: number }> {
  return (await (await fetch(`${service.url}/v1/state`)).json()) as Awaited<ReturnType<typeof state>>;
}

// Notifications as the queue's parts make them: an API that only adds, a fleet for each channel, steps, named waits.
import { RequestError } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import type { Queue } from "@holdfast/queue";
import { defineTask, explicitWaits, handle, memoryStore, queue, worker } from "@holdfast/queue";
import { taskApi } from "@holdfast/queue/http";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { row } from "../../../tools/systems/row.mjs";

const CHANNELS = ["email", "sms", "push"] as const;
const notify = defineTask({
  name: "notify",
  input: z.object({
    user_id: z.string(),
    channel: z.enum(CHANNELS),
    template_id: z.string(),
    name: z.string(),
  }),
  attempts: 10,
  backoff: explicitWaits("1m", "5m", "10m"),
});

function service() {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const queues = new Map<string, Queue>(CHANNELS.map((name) => [name, queue({ name, store, clock })]));
  /** Templates, as they are read, and what each gateway was given. */
  const templates = new Map([["welcome", "Hello {name}"]]);
  const reads: string[] = [];
  const sent: {
    readonly channel: string;
    readonly text: string;
    readonly key: string;
    readonly at: number;
  }[] = [];
  const down = new Set<string>();
  const post = async (channel: string): Promise<Response> => {
    const tasks = queues.get(channel)!;
    const body = JSON.stringify({ user_id: "u1", channel, template_id: "welcome", name: "Ada" });
    const api = taskApi({
      queue: tasks,
      base: "/notify",
      submit: async (request) => {
        const input = notify.parseInput((await request.json()) as never);
        return { task: notify as never, input: await input };
      },
    });
    const headers = { "content-type": "application/json" };
    return api(new Request("http://localhost/notify", { method: "POST", body, headers }));
  };
  const fleet = (channel: string) =>
    worker(queues.get(channel)!, [
      handle(notify, async ({ input, step }) => {
        const text = await step.run("template", () => {
          reads.push(input.template_id);
          return templates.get(input.template_id)!.replace("{name}", input.name);
        });
        await step.run("send", ({ idempotencyKey: key }) => {
          sent.push({ channel, text, key, at: clock.now() - 1_700_000_000_000 });
          if (down.has(channel)) throw new RequestError(503, "PROVIDER_DOWN", "the provider is down");
        });
      }),
    ]);
  return { clock, queues, reads, sent, down, post, fleet };
}

describe("notifications", () => {
  it(row(174, "are taken with 202 and only added: nobody has to be there who sends them"), async () => {
    const { queues, post, sent } = service();
    const response = await post("email");
    expect(response.status).toBe(202);
    expect(response.headers.get("location")).toMatch(/^\/notify\//);
    expect(await queues.get("email")!.stats()).toMatchObject({ ready: 1 });
    expect(sent).toEqual([]);
  });

  it(
    row(175, "of each channel have a queue and workers of their own, which no other one holds up"),
    async () => {
      const { clock, queues, post, fleet, sent, down } = service();
      down.add("email");
      const fleets = [fleet("email"), fleet("push")];
      for (const channel of CHANNELS) await post(channel);
      await clock.advance("30s");
      expect(sent.map(({ channel }) => channel).toSorted()).toEqual(["email", "push"]);
      expect(await queues.get("push")!.stats()).toMatchObject({ completed: 1 });
      expect(await queues.get("sms")!.stats()).toMatchObject({ ready: 1 });
      const closing = fleets.map((one) => one.close());
      await clock.advance("10s");
      await Promise.all(closing);
    },
  );

  it(
    row(
      [176, 178],
      "read their template once, and go to a provider that is down again after 1, 5 and 10 minutes",
    ),
    async () => {
      const { clock, queues, post, fleet, reads, sent, down } = service();
      down.add("sms");
      const working = fleet("sms");
      const { id } = (await (await post("sms")).json()) as { readonly id: string };
      await clock.advance("30m");
      const minutes = sent.map(({ at }) => at / 60_000);
      expect(minutes).toEqual([0, 1, 6, 16, 26]);
      down.clear();
      await clock.advance("10m");
      expect(await queues.get("sms")!.status(id)).toMatchObject({ state: "completed", attempt: 6 });
      expect(sent.at(-1)).toMatchObject({ channel: "sms", text: "Hello Ada" });
      expect(reads).toEqual(["welcome"]);
      // The provider knows a repeated message by its key.
      expect(new Set(sent.map(({ key }) => key))).toEqual(new Set([`${id}/send`]));
      const closing = working.close();
      await clock.advance("10s");
      await closing;
    },
  );
});

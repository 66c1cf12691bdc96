// The dashboard: a page and the JSON it lives on, behind an authorization that has to be said.
import type { Clock, Duration } from "@holdfast/core";
import { optionsOf, systemClock } from "@holdfast/core";
import type { Queue } from "../queue/queue-contract.ts";
import type { Authorize } from "./access.ts";
import { accessOf } from "./access.ts";
import type { Watched } from "./answers.ts";
import type { Settings } from "./routes.ts";
import { answer } from "./routes.ts";
import { Sampler } from "./sampler.ts";

export interface QueueDashboardOptions {
  /** From 1 to 100, each of a name of its own. They and their stores stay open: they are their owners'. */
  readonly queues: readonly Queue[];
  /**
   * Decides over every request, those for the page's own files included: `true`, `{ readOnly: true }`, `false`, or a
   * `Response` of its own, such as a redirect to a login. `"loopback-only"` lets in whoever is on this machine and comes
   * through no proxy; it needs a server that tells the other end's address (`withRemoteAddress`), as `serve` and
   * `nodeHandler` of `@holdfast/core/node` do.
   */
  readonly authorize: Authorize | "loopback-only";
  /** Where requests for it arrive: a path without a slash at its end, `""` for all. @defaultValue "/queues" */
  readonly basePath?: string;
  /** Nobody may change anything. @defaultValue false */
  readonly readOnly?: boolean;
  /** Show results, values of checkpoints and texts of schedules. Progress, logs and errors are shown always. @defaultValue false */
  readonly showPayloads?: boolean;
  /** Origins whose pages may send changes, where a proxy does not pass on the `Host` it was asked for. @defaultValue none */
  readonly allowedOrigins?: readonly string[];
  /** What stands at the top of the page. @defaultValue "Queues" */
  readonly title?: string;
  /** How often each queue's meter is looked at for the charts, from 100 ms. An hour of it is kept. @defaultValue "5s" */
  readonly sampleEvery?: Duration;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** A Fetch handler that looks at its queues' meters until it is closed. */
export interface QueueDashboard extends AsyncDisposable {
  (request: Request): Promise<Response>;
  /** Looks no more. Its timers never keep the process alive. */
  close(): Promise<void>;
}

/** The defaults of `queueDashboard`. */
export const DASHBOARD_DEFAULTS: {
  readonly basePath: string;
  readonly title: string;
  readonly sampleEveryMs: number;
  readonly keptMs: number;
} = { basePath: "/queues", title: "Queues", sampleEveryMs: 5_000, keptMs: 3_600_000 };

const MAX_QUEUES = 100;
/**
 * A dashboard for queues: what is in them, throughput and latency, tasks with what has happened to them, schedules,
 * dead letters; and pause, cancel, redrive and discard. It is closed to everybody until `authorize` says otherwise.
 * Mount it where requests arrive with their whole path.
 *
 * @throws InvalidOptionError when an option is out of range, or `authorize` is missing.
 *
 * @example
 * ```ts
 * import { memoryStore, queue } from "@holdfast/queue";
 * import { queueDashboard } from "@holdfast/queue/dashboard";
 *
 * const mails = queue({ name: "mails", store: memoryStore() });
 * const dashboard = queueDashboard({
 *   queues: [mails],
 *   authorize: (request) => request.headers.get("authorization") === "Bearer of good news",
 * });
 * const response = await dashboard(new Request("https://shop.example/queues/"));
 * response.status; // => 403
 * await dashboard.close();
 * ```
 */
export function queueDashboard(options: QueueDashboardOptions): QueueDashboard {
  const check = optionsOf("queueDashboard");
  const { basePath, title, sampleEveryMs, keptMs } = DASHBOARD_DEFAULTS;
  const base = options.basePath ?? basePath;
  if (typeof base !== "string" || !/^(?:\/[\w.~-]+)*$/.test(base))
    check.refuse("basePath", base, 'a path such as "/admin/queues", without a slash at its end');
  const access = accessOf(options.authorize, check.boolean("readOnly", options.readOnly, false));
  const clock = options.clock ?? systemClock;
  const everyMs = check.duration("sampleEvery", options.sampleEvery, { min: 100 }, sampleEveryMs);
  const samples = Math.ceil(keptMs / everyMs) + 1;
  const settings: Settings = {
    title: check.string("title", options.title, 100, title),
    watched: watchedQueues(options.queues, (one) => new Sampler(one, clock, everyMs, samples)),
    showPayloads: check.boolean("showPayloads", options.showPayloads, false),
    allowedOrigins: originsOf(options.allowedOrigins ?? []),
    clock,
  };
  const samplers = [...settings.watched.values()].map(({ sampler }) => sampler);
  for (const sampler of samplers) sampler.start();
  const close = async (): Promise<void> => {
    for (const sampler of samplers) sampler.close();
  };
  const handler = (request: Request): Promise<Response> => answer(settings, base, access, request);
  return Object.assign(handler, { close, [Symbol.asyncDispose]: close });
}

function watchedQueues(
  queues: readonly Queue[],
  samplerOf: (queue: Queue) => Sampler,
): ReadonlyMap<string, Watched> {
  const check = optionsOf("queueDashboard");
  if (!Array.isArray(queues) || queues.length === 0 || queues.length > MAX_QUEUES)
    return check.refuse("queues", queues, `a list of 1 to ${MAX_QUEUES} queues`);
  const watched = new Map<string, Watched>();
  for (const queue of queues as readonly Queue[]) {
    if (typeof queue?.meter !== "function") check.refuse("queues", queue, "a queue");
    if (watched.has(queue.name)) check.refuse("queues", queue.name, "a queue of a name of its own");
    watched.set(queue.name, { queue, sampler: samplerOf(queue) });
  }
  return watched;
}

function originsOf(origins: readonly string[]): readonly string[] {
  for (const origin of origins)
    if (!URL.canParse(origin) || new URL(origin).origin !== origin)
      optionsOf("queueDashboard").refuse("allowedOrigins", origin, "an origin: https://ops.example");
  return origins;
}

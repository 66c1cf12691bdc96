// The service, put together: a queue of tasks, a worker that runs them on a pool of threads, and HTTP around it.
import { availableParallelism } from "node:os";
import { breakerMetrics } from "@holdfast/breaker";
import type { Clock, Health, HealthReport } from "@holdfast/core";
import {
  coreMetrics,
  health,
  HoldfastError,
  prometheus,
  systemClock,
  timeout,
  withMiddleware,
} from "@holdfast/core";
import type { RunningServer } from "@holdfast/core/node";
import type { GpuPool } from "@holdfast/gpu-pool";
import { gpuPool, gpuPoolMetrics } from "@holdfast/gpu-pool";
import { workerThreads } from "@holdfast/gpu-pool/worker-threads";
import { queue as makeQueue, queueMetrics, worker as startWorker } from "@holdfast/queue";
import { queueDashboard } from "@holdfast/queue/dashboard";
import type { Limit } from "@holdfast/ratelimit";
import { rateLimitMetrics } from "@holdfast/ratelimit";
import { apiLimit } from "./http/api-limit.ts";
import { serveOnFreePort } from "./http/free-port.ts";
import { page } from "./http/page.ts";
import { DASHBOARD, routes } from "./http/routes.ts";
import { taskSockets } from "./http/task-socket.ts";
import {
  MAX_BODY_BYTES,
  MAX_KEPT_TASKS,
  MAX_LIVE_TASKS,
  MAX_UPLOADS_WAITING,
  REQUESTS,
  SUBMISSIONS,
  THREAD_MEMORY_BYTES,
} from "./limits.ts";
import { denoiser, inspect, landscaper, stylist, upscaler } from "./work/models.ts";
import { modelBreakers, pictureHandler } from "./work/picture-task.ts";
import { predictionCache } from "./work/predictions.ts";
import { Retention } from "./work/retention.ts";
import type { TaskPlace } from "./work/task-store.ts";
import { openTaskStore } from "./work/task-store.ts";

export interface InferenceOptions {
  /** 0 takes any free port. */
  readonly port: number;
  /** How many ports above it are tried when it is taken. @defaultValue 0 */
  readonly furtherPorts?: number;
  /** @defaultValue "127.0.0.1" */
  readonly host?: string;
  /** Threads that make pictures. @defaultValue one per core but one, from 1 to 8 */
  readonly threads?: number;
  /** Where tasks are kept. @defaultValue in the memory of this process */
  readonly tasks?: TaskPlace;
  /** The built `models.js`. */
  readonly models: URL;
  /** The folder of the built page. */
  readonly page: URL;
  /** Told of what no caller could be told. */
  readonly onError?: (error: unknown) => unknown;
  /** Pictures that one address may ask for. @defaultValue SUBMISSIONS */
  readonly submissions?: Limit<"key">;
  readonly clock?: Clock;
}

/** The service at work. */
export interface Inference {
  readonly url: string;
  readonly port: number;
  report(): Promise<HealthReport>;
  /** Takes no more work, lets what runs end for `withinMs`, then ends it. */
  close(withinMs: number): Promise<void>;
}

/** Largest PNG of the largest picture made, and some room. */
const MAX_PAYLOAD_BYTES = 48_000_000;

/** What a killed process leaves behind is run again this long after, at most. Pictures are made on threads: this one is free to renew. */
const LEASE = "5s";

/** How long the first threads may take to come up. */
const MAX_START = "30s";

/** A thread that needs more than this dies alone. */
const THREAD_LIMITS = { maxOldGenerationSizeMb: 512 };

/** Starts the service; resolves once it listens. */
export async function startInference(options: InferenceOptions): Promise<Inference> {
  const clock = options.clock ?? systemClock;
  const threads = options.threads ?? Math.min(8, Math.max(1, availableParallelism() - 1));
  const onError = options.onError ?? ((): void => {});
  const kept = await openTaskStore(options.tasks ?? { kind: "memory" }, clock, onError);
  const queue = makeQueue({
    name: "pictures",
    store: kept.store,
    limit: MAX_LIVE_TASKS,
    maxPayloadBytes: MAX_PAYLOAD_BYTES,
    retryAfter: "5s",
    clock,
  });
  const pool = gpuPool({
    name: "pictures",
    workers: workerThreads({
      module: options.models,
      count: threads,
      memoryBytes: THREAD_MEMORY_BYTES,
      resourceLimits: THREAD_LIMITS,
    }),
    models: [upscaler, denoiser, stylist, landscaper],
    // A thread looks up once in a while; on a busy machine that is not at once.
    cancelGrace: "2s",
    clock,
  });
  // A thread of its own: an upload is looked at while all the others are busy with pictures.
  const intake = gpuPool({
    name: "intake",
    workers: workerThreads({
      module: options.models,
      count: 1,
      idPrefix: "intake",
      memoryBytes: THREAD_MEMORY_BYTES,
      resourceLimits: THREAD_LIMITS,
    }),
    models: [inspect],
    queueLimit: MAX_UPLOADS_WAITING,
    clock,
  });
  const breakers = modelBreakers(clock);
  const predictions = predictionCache(clock);
  const worker = startWorker(queue, [pictureHandler(pool, breakers, predictions)], {
    concurrency: threads,
    lease: LEASE,
  });
  const retention = new Retention(queue, MAX_KEPT_TASKS);
  const watch = watchHealth(pool, intake, () => queue.stats(), clock);
  const numbers = prometheus({
    tables: [coreMetrics, breakerMetrics, rateLimitMetrics, queueMetrics, gpuPoolMetrics],
  });
  const sockets = taskSockets(queue);
  const dashboard = queueDashboard({
    queues: [queue],
    basePath: DASHBOARD,
    authorize: "loopback-only",
    clock,
  });
  let server: RunningServer;
  try {
    await timeout(MAX_START, { clock }).run(({ signal }) =>
      Promise.all([pool.ready({ signal }), intake.ready({ signal })]),
    );
    const handler = routes({
      queue,
      pool,
      intake,
      breakers,
      predictions,
      dashboard,
      health: watch,
      numbers,
      page: await page(options.page),
      onAdded: (id) => retention.remember(id).catch((error: unknown) => options.onError?.(error)),
    });
    const limit = apiLimit(REQUESTS, options.submissions ?? SUBMISSIONS, clock);
    server = await serveOnFreePort(withMiddleware(handler, limit), options.furtherPorts ?? 0, {
      port: options.port,
      host: options.host ?? "127.0.0.1",
      maxBodyBytes: MAX_BODY_BYTES,
      maxConnections: 256,
      onUpgrade: sockets.onUpgrade,
      ...(options.onError ? { onError: options.onError } : {}),
      clock,
    });
  } catch (error) {
    await Promise.all([worker.close({ within: 0 }), pool.close({ within: 0 }), intake.close({ within: 0 })]);
    await Promise.all([dashboard.close(), kept.close()]);
    numbers.close();
    throw error;
  }

  return {
    url: server.url,
    port: server.port,
    report: () => watch.report(),
    close: async (withinMs) => {
      watch.drain();
      await worker.close({ within: withinMs });
      // Their tasks have ended, or were given back: nobody waits for anything any more.
      await Promise.all([pool.close({ within: 0 }), intake.close({ within: 0 })]);
      sockets.close();
      await server.close({ within: 500 });
      await Promise.all([dashboard.close(), kept.close(), predictions.close()]);
      numbers.close();
    },
  };
}

/** A device is down, or none is up. */
class NoDeviceError extends HoldfastError {
  override readonly code = "NO_DEVICE";
  override readonly status = 503;
}

function watchHealth(pool: GpuPool, intake: GpuPool, askQueue: () => Promise<unknown>, clock: Clock): Health {
  const isUp = (one: GpuPool) => (): void => {
    const { capacity, devices } = one.snapshot();
    const why = devices.map(({ id, status, lastFailure = "" }) => `${id} ${status} ${lastFailure}`.trim());
    if (capacity === 0) throw new NoDeviceError(`no device is up: ${why.join("; ")}`);
  };
  return health({
    checks: { queue: askQueue, pool: isUp(pool), intake: isUp(intake) },
    details: "always",
    clock,
  });
}

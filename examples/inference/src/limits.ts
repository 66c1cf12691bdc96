// What the service takes, in one place.
import type { Limit } from "@holdfast/ratelimit";
import { tokenBucket } from "@holdfast/ratelimit";

/** Largest request body, in bytes. */
export const MAX_BODY_BYTES = 10_000_000;

/** Largest picture taken, in pixels. */
export const MAX_PIXELS = 4_000_000;

/** Largest picture made, in pixels. */
export const MAX_RESULT_PIXELS = 8_000_000;

/** Longest prompt, in characters. */
export const MAX_PROMPT = 300;

/** Most tasks that wait or run; one more is answered with 503, and with when there will be room. */
export const MAX_LIVE_TASKS = 32;

/** Most tasks remembered, those that have ended included: pictures are large, and this store is memory. */
export const MAX_KEPT_TASKS = 64;

/** Most bytes of pictures kept for those who ask for the same again. */
export const MAX_PREDICTION_BYTES = 64_000_000;

/** Memory of a thread for its models, in bytes. */
export const THREAD_MEMORY_BYTES = 512_000_000;

/** Most uploads that are looked at together. */
export const MAX_UPLOADS_TOGETHER = 8;

/** Most uploads that wait to be looked at; one more is answered with 503. */
export const MAX_UPLOADS_WAITING = 16;

/** Requests to the API, of one address. Polling is cheap. */
export const REQUESTS: Limit<"key"> = tokenBucket({
  name: "requests",
  capacity: 1_000,
  refill: 200,
  per: "1s",
});

/** Pictures asked for, of one address: each is seconds of work. */
export const SUBMISSIONS: Limit<"key"> = tokenBucket({
  name: "submissions",
  capacity: 120,
  refill: 2,
  per: "1s",
});

// A server under load, as queueing theory draws one: some workers, a bounded queue in order of arrival, service times.
import { Fifo } from "./fifo.mjs";

/**
 * @typedef {object} ServerOptions
 * @property {number} workers - Requests served at the same time.
 * @property {number} serviceMs - Mean service time. Half of it is fixed, half exponentially distributed.
 * @property {number} queue - Requests that may wait; further ones are refused at once.
 * @property {number} [refusalMs] - Worker's time that a refusal because of a full queue costs. None by default.
 * @property {Coldness} [coldness] - What a restart does to the service time.
 */

/**
 * A look-aside cache that starts empty: work is `slower` times slower at first, and as fast as ever after
 * `answers` answers that reached a caller still waiting. An answer that came too late fills no cache.
 *
 * @typedef {object} Coldness
 * @property {number} slower
 * @property {number} answers
 */

/** What a full or a crashed server answers at once. */
export class RefusedError extends Error {
  code = "REFUSED";
  status = 503;
}

/**
 * A server that does not learn of callers who have given up: it works on for them, as most do.
 *
 * @param {import("@holdfast/core").Clock} clock
 * @param {import("@holdfast/core").Random} random
 * @param {ServerOptions} options
 */
export function modelServer(
  clock,
  random,
  { workers: fullWorkers, serviceMs, queue: places, refusalMs = 0, coldness },
) {
  let workers = fullWorkers;
  let state = "up";
  let busy = 0;
  /** Answers still missing until the server is warm; 0 when it is. */
  let cold = 0;
  /** Worker's time spent on refusals, which the next request has to wait for. */
  let refusedMs = 0;
  /** Counts restarts, so that work begun before one cannot end after it. */
  let life = 0;
  const waiting = new Fifo();

  const hasFreeWorker = () => state === "up" && busy < workers;
  const serveNext = () => {
    while (waiting.size > 0 && hasFreeWorker()) serve(waiting.take());
  };

  const serve = (request) => {
    busy += 1;
    const startedIn = life;
    const slowdown = cold === 0 ? 1 : 1 + (coldness.slower - 1) * (cold / coldness.answers);
    const ms = refusedMs + serviceMs * slowdown * (0.5 - 0.5 * Math.log(1 - random()));
    refusedMs = 0;
    clock.setTimer(ms, () => {
      if (life !== startedIn) return;
      busy -= 1;
      request.resolve();
      serveNext();
    });
  };

  const dropAll = () => {
    life += 1;
    busy = 0;
    while (waiting.size > 0) waiting.take().reject(new RefusedError("the server has crashed"));
  };

  return {
    /** @returns {Promise<void>} */
    handle() {
      if (state === "down") return Promise.reject(new RefusedError("the server is down"));
      if (waiting.size >= places) {
        refusedMs += refusalMs;
        return Promise.reject(new RefusedError("the server's queue is full"));
      }
      return new Promise((resolve, reject) => {
        waiting.add({ resolve, reject });
        serveNext();
      });
    },
    /** Takes requests and answers none. */
    hang() {
      state = "hung";
    },
    /** Loses what it has, and refuses what comes. */
    crash() {
      state = "down";
      dropAll();
    },
    resume() {
      state = "up";
      serveNext();
    },
    /** Back after a crash, with nothing in its cache. */
    restartCold() {
      cold = coldness.answers;
      this.resume();
    },
    /** A caller got its answer in time, and has put it into the cache. */
    answered() {
      if (cold > 0) cold -= 1;
    },
    /** @param {number} count */
    setWorkers(count) {
      workers = count;
      serveNext();
    },
    get waiting() {
      return waiting.size;
    },
  };
}

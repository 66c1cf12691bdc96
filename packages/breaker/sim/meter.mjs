// Counts calls, requests and answers of a simulation, a second at a time.

/**
 * One number per second in each of the lists.
 *
 * @typedef {object} Measured
 * @property {number[]} calls - Begun by callers.
 * @property {number[]} offered - Requests that reached the server's door, repeats included.
 * @property {number[]} goodput - Calls answered.
 * @property {number[]} answered - Of the calls begun in this second, those that were answered, then or later.
 * @property {number[]} inFlight - Calls without an outcome yet, at the end of the second.
 * @property {number[]} queued - Requests that wait at the server, at the end of the second.
 * @property {number[]} gauge - What the scenario watches, at the end of the second.
 * @property {number[]} latencyMs - Mean time from the call's begin to its outcome, by the second of the outcome.
 * @property {number[]} sentLatencyMs - The same, of calls that reached the server; NaN in seconds without one.
 * @property {Record<string, number>} failures - By code, over the whole run.
 */

/**
 * @param {import("@holdfast/core").Clock} clock
 * @param {number} seconds
 */
export function meter(clock, seconds) {
  const perSecond = () => Array.from({ length: seconds }, () => 0);
  const calls = perSecond();
  const offered = perSecond();
  const goodput = perSecond();
  const answered = perSecond();
  const inFlight = perSecond();
  const queued = perSecond();
  const gauge = perSecond();
  const ended = perSecond();
  const waitedMs = perSecond();
  const sentEnded = perSecond();
  const sentWaitedMs = perSecond();
  /** @type {Record<string, number>} */
  const failures = {};
  let open = 0;
  const now = () => Math.min(seconds - 1, Math.floor(clock.monotonic() / 1_000));

  return {
    callBegan() {
      const begunAt = clock.monotonic();
      const second = now();
      calls[second] += 1;
      open += 1;
      /**
       * @param {unknown} outcome - "answered", or what was thrown.
       * @param {boolean} wasSent - Whether a request of it reached the server.
       */
      return (outcome, wasSent) => {
        open -= 1;
        if (wasSent) {
          sentEnded[now()] += 1;
          sentWaitedMs[now()] += clock.monotonic() - begunAt;
        }
        ended[now()] += 1;
        waitedMs[now()] += clock.monotonic() - begunAt;
        if (outcome === "answered") {
          goodput[now()] += 1;
          answered[second] += 1;
        } else {
          const code = /** @type {{ code?: string }} */ (outcome)?.code ?? String(outcome);
          failures[code] = (failures[code] ?? 0) + 1;
        }
      };
    },
    sent() {
      offered[now()] += 1;
    },
    /**
     * At the end of a second.
     *
     * @param {number} second
     * @param {number} waiting - Requests in the server's queue.
     * @param {number} value - What the scenario watches.
     */
    look(second, waiting, value) {
      queued[second] = waiting;
      gauge[second] = value;
      inFlight[second] = open;
    },
    /** @returns {Measured} */
    measured() {
      const latencyMs = waitedMs.map((ms, second) => (ended[second] === 0 ? 0 : ms / ended[second]));
      const sentLatencyMs = sentWaitedMs.map((ms, second) => ms / sentEnded[second]);
      return {
        calls,
        offered,
        goodput,
        answered,
        inFlight,
        queued,
        gauge,
        latencyMs,
        sentLatencyMs,
        failures,
      };
    },
  };
}

/**
 * Requests per call between two seconds: 1 when nothing is repeated, below 1 when calls are turned away unsent.
 *
 * @param {Measured} measured
 * @param {number} from
 * @param {number} to
 */
export function amplification({ calls, offered }, from, to) {
  return sum(offered.slice(from, to)) / sum(calls.slice(from, to));
}

/**
 * Seconds from the end of an outage until the service is back: the first second that begins ten in a row in which,
 * together, `share` of the calls begun were answered. Infinity if there is none.
 *
 * @param {Measured} measured
 * @param {number} outageEnd
 */
export function timeToRecover({ calls, answered }, outageEnd, share = 0.95) {
  // The last two seconds' calls may be without an outcome when the run ends.
  for (let second = outageEnd; second + 12 <= calls.length; second += 1) {
    const good = sum(answered.slice(second, second + 10));
    if (answered[second] >= share * calls[second] && good >= share * sum(calls.slice(second, second + 10)))
      return second - outageEnd;
  }
  return Infinity;
}

/**
 * @param {number[]} numbers
 * @param {number} [from]
 * @param {number} [to]
 */
export function mean(numbers, from = 0, to = numbers.length) {
  return sum(numbers.slice(from, to)) / (to - from);
}

/** @param {number[]} numbers */
export function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

// What could be had at best: Belady's MIN (1966), which knows the future, and does not keep what it would let go first.

/**
 * @param {Int32Array} trace
 * @param {number} size
 * @returns {number} Hits.
 */
export function optimalHits(trace, size) {
  const nextUse = nextUses(trace);
  /** Key to the time of its next use. */
  const kept = new Map();
  const furthest = new Heap();
  let hits = 0;
  for (let at = 0; at < trace.length; at += 1) {
    const key = trace[at];
    if (kept.has(key)) hits += 1;
    // What is never asked for again is not kept at all.
    if (nextUse[at] === Infinity) {
      kept.delete(key);
      continue;
    }
    kept.set(key, nextUse[at]);
    furthest.push(nextUse[at], key);
    while (kept.size > size) {
      const { time, key: victim } = furthest.pop();
      if (kept.get(victim) === time) kept.delete(victim);
    }
  }
  return hits;
}

function nextUses(trace) {
  const next = new Float64Array(trace.length);
  const seen = new Map();
  for (let at = trace.length - 1; at >= 0; at -= 1) {
    next[at] = seen.get(trace[at]) ?? Infinity;
    seen.set(trace[at], at);
  }
  return next;
}

/** The latest time first. */
class Heap {
  #times = [];
  #keys = [];

  push(time, key) {
    let at = this.#times.length;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (this.#times[parent] >= time) break;
      this.#times[at] = this.#times[parent];
      this.#keys[at] = this.#keys[parent];
      at = parent;
    }
    this.#times[at] = time;
    this.#keys[at] = key;
  }

  pop() {
    const top = { time: this.#times[0], key: this.#keys[0] };
    const time = this.#times.pop();
    const key = this.#keys.pop();
    const length = this.#times.length;
    if (length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && this.#times[child + 1] > this.#times[child]) child += 1;
      if (this.#times[child] <= time) break;
      this.#times[at] = this.#times[child];
      this.#keys[at] = this.#keys[child];
      at = child;
    }
    this.#times[at] = time;
    this.#keys[at] = key;
    return top;
  }
}

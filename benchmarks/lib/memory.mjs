// Measures what calls allocate and what they leave behind: functions for a row's `measure`.
import { createHook } from "node:async_hooks";
import { collectGarbage } from "./garbage.mjs";

/** Contender → bytes a call allocates, the promise of its caller's `await` included. */
export async function bytesPerCall({ ours, peers }, quick) {
  const rounds = quick ? 5 : 15;
  // Few enough for the young generation: a collection within a round would hide what it freed.
  const calls = 2_000;
  return eachOf({ ours, ...peers }, async (operation) => {
    await callTimes(operation, 20_000);
    const samples = [];
    for (let round = 0; round < rounds; round += 1) {
      collectGarbage();
      const before = process.memoryUsage().heapUsed;
      await callTimes(operation, calls);
      samples.push((process.memoryUsage().heapUsed - before) / calls);
    }
    return samples.sort((a, b) => a - b)[samples.length >> 1];
  });
}

/** Contender → bytes of heap that a million calls of a new operation leave, itself included. */
export async function heapKept({ ours, peers }, quick) {
  const calls = quick ? 100_000 : 1_000_000;
  return eachOf({ ours, ...peers }, async (make) => {
    // Code that is compiled on the way is not what calls leave behind.
    await callTimes(make(), 20_000);
    const before = await settledHeap();
    const operation = make();
    await callTimes(operation, calls);
    const kept = (await settledHeap()) - before;
    // Used after the measure, so that it is not collected before it.
    await operation();
    return Math.max(0, kept);
  });
}

/** Contender → timers and handles that a new operation has open after a call, those that let the process end included. */
export async function handlesLeft({ ours, peers }) {
  return eachOf({ ours, ...peers }, async (make) => {
    const open = new Set();
    const passing = new Set(["PROMISE", "TickObject", "Immediate"]);
    const watch = createHook({
      init: (id, type) => void (passing.has(type) || open.add(id)),
      destroy: (id) => void open.delete(id),
    }).enable();
    const operation = make();
    await operation();
    for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    watch.disable();
    return open.size;
  });
}

async function eachOf(contenders, measure) {
  const values = {};
  for (const [name, contender] of Object.entries(contenders)) values[name] = await measure(contender);
  return values;
}

async function callTimes(operation, count) {
  for (let i = 0; i < count; i += 1) await operation();
}

async function settledHeap() {
  for (let turn = 0; turn < 3; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
  }
  return process.memoryUsage().heapUsed;
}

// A TCP proxy between a client and a server that can be slow, deaf, lossy or gone. Toxics are named as Toxiproxy's.
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** @typedef {import("node:net").Socket} Socket */

/**
 * @typedef {object} Proxy
 * @property {number} port - Where clients connect.
 * @property {string} url - The target's URL with our port in it; `tcp://…` for a target without one.
 * @property {number} connections - Open now.
 * @property {() => void} cut - Resets every connection, and every new one at once.
 * @property {() => void} heal - Ends every fault. Connections that lost bytes are reset: they cannot go on.
 * @property {(ms: number) => void} latency - Delays every chunk by this much, both ways.
 * @property {() => void} blackhole - Takes everything and passes nothing on, both ways.
 * @property {(chunks: number) => void} dropReplies - Loses the server's next chunks, then resets their connections.
 * @property {(bytes: number) => void} slice - Passes chunks on in pieces of this size.
 * @property {() => Promise<void>} close
 */

/**
 * @typedef {object} Faults
 * @property {boolean} cut
 * @property {number} latencyMs
 * @property {boolean} blackhole
 * @property {number} repliesToDrop
 * @property {number} sliceBytes
 */

/**
 * @typedef {object} Link - One connection through the proxy.
 * @property {Socket} client
 * @property {Socket} upstream
 * @property {boolean} lost - Whether bytes of it are gone.
 */

/** @type {Readonly<Faults>} */
const HEALTHY = { cut: false, latencyMs: 0, blackhole: false, repliesToDrop: 0, sliceBytes: Infinity };
/** Chunks under way in one direction; beyond it the sender has to wait. */
const QUEUE_LIMIT = 256;

/**
 * Starts a proxy in front of a server.
 *
 * @param {number | string} target - A port of 127.0.0.1, `host:port`, or a URL such as `redis://127.0.0.1:6379`.
 * @returns {Promise<Proxy & AsyncDisposable>}
 */
export async function startProxy(target) {
  const address = addressOf(target);
  /** @type {Faults} */
  const faults = { ...HEALTHY };
  /** @type {Set<Link>} */
  const links = new Set();
  const reset = (/** @type {Iterable<Link>} */ some) => {
    for (const { client, upstream } of some) {
      client.resetAndDestroy();
      upstream.resetAndDestroy();
    }
  };
  const server = createServer((client) => {
    client.on("error", () => {});
    if (faults.cut) client.resetAndDestroy();
    else open(client, connect(Number(address.port), address.hostname), links, faults);
  });
  await new Promise((resolve, reject) => {
    server.once("error", reject).listen(0, "127.0.0.1", () => resolve(undefined));
  });
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const close = async () => {
    faults.cut = true;
    reset(links);
    await new Promise((resolve) => server.close(() => resolve(undefined)));
  };
  return {
    port,
    url: urlOn(port, address),
    get connections() {
      return links.size;
    },
    cut: () => {
      faults.cut = true;
      reset(links);
    },
    heal: () => {
      Object.assign(faults, HEALTHY);
      reset([...links].filter(({ lost }) => lost));
    },
    latency: (ms) => void (faults.latencyMs = ms),
    blackhole: () => void (faults.blackhole = true),
    dropReplies: (chunks) => void (faults.repliesToDrop = chunks),
    slice: (bytes) => void (faults.sliceBytes = bytes),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** @param {number | string} target */
function addressOf(target) {
  const text = typeof target === "number" ? `127.0.0.1:${target}` : target;
  const address = new URL(text.includes("://") ? text : `tcp://${text}`);
  if (address.port === "") throw new Error(`the target "${text}" names no port`);
  return address;
}

/**
 * @param {number} port
 * @param {URL} target
 */
function urlOn(port, target) {
  const url = new URL(target);
  url.host = `127.0.0.1:${port}`;
  return url.href;
}

/**
 * @param {Socket} client
 * @param {Socket} upstream
 * @param {Set<Link>} links
 * @param {Faults} faults
 */
function open(client, upstream, links, faults) {
  /** @type {Link} */
  const link = { client, upstream, lost: false };
  links.add(link);
  const end = () => {
    links.delete(link);
    client.destroy();
    upstream.destroy();
  };
  upstream.on("error", () => {});
  for (const socket of [client, upstream]) socket.setNoDelay(true).on("close", end);
  pass(client, upstream, link, faults);
  pass(upstream, client, link, faults);
}

/**
 * @param {Socket} from
 * @param {Socket} to
 * @param {Link} link
 * @param {Faults} faults
 */
function pass(from, to, link, faults) {
  let queue = Promise.resolve();
  let queued = 0;
  from.on("data", (/** @type {Buffer} */ chunk) => {
    if (isLost(from, link, faults)) return;
    // The delay counts from now, so that it adds to the latency and not to the time between chunks.
    const dueAt = performance.now() + faults.latencyMs;
    queued += 1;
    if (queued === QUEUE_LIMIT) from.pause();
    queue = queue.then(async () => {
      await deliver(chunk, to, dueAt, faults);
      if (queued === QUEUE_LIMIT) from.resume();
      queued -= 1;
    });
  });
  from.on("end", () => {
    queue = queue.then(() => void to.end());
  });
}

/**
 * Whether a chunk that has just come is to vanish.
 *
 * @param {Socket} from
 * @param {Link} link
 * @param {Faults} faults
 */
function isLost(from, link, faults) {
  if (faults.blackhole) {
    link.lost = true;
    return true;
  }
  if (from !== link.upstream || faults.repliesToDrop === 0) return false;
  link.lost = true;
  faults.repliesToDrop -= 1;
  if (faults.repliesToDrop === 0) {
    link.client.resetAndDestroy();
    link.upstream.resetAndDestroy();
  }
  return true;
}

/**
 * @param {Buffer} chunk
 * @param {Socket} to
 * @param {number} dueAt
 * @param {Faults} faults
 */
async function deliver(chunk, to, dueAt, faults) {
  const wait = dueAt - performance.now();
  if (wait > 0) await sleep(wait);
  const size = Math.max(1, faults.sliceBytes);
  for (let at = 0; at < chunk.length; at += size) {
    if (to.destroyed) return;
    to.write(chunk.subarray(at, at + size));
    if (size < chunk.length) await sleep(0);
  }
}

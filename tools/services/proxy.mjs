// A TCP proxy between a client and a server that can be slow, deaf, lossy or gone. Toxics are named as Toxiproxy's.
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** @typedef {import("node:net").Socket} Socket */

/**
 * @typedef {object} Proxy
 * @property {number} port - Where clients connect.
 * @property {number} connections - Open now.
 * @property {() => void} cut - Resets every connection and refuses new ones.
 * @property {() => void} heal - Ends every fault.
 * @property {(ms: number) => void} latency - Delays every chunk, both ways.
 * @property {() => void} blackhole - Takes everything and passes nothing on, both ways.
 * @property {(chunks: number) => void} dropReplies - Loses the server's next chunks, then resets that connection.
 * @property {(bytes: number) => void} slice - Passes chunks on in pieces of this size.
 * @property {() => Promise<void>} close
 */

/**
 * Starts a proxy in front of a loopback port.
 *
 * @param {number} targetPort
 * @returns {Promise<Proxy & AsyncDisposable>}
 */
export async function startProxy(targetPort) {
  const faults = { cut: false, latencyMs: 0, blackhole: false, repliesToDrop: 0, sliceBytes: Infinity };
  /** @type {Set<Socket>} */
  const sockets = new Set();
  const server = createServer((client) => {
    if (faults.cut) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect(targetPort, "127.0.0.1");
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        (socket === client ? upstream : client).destroy();
      });
    }
    pass(client, upstream, faults, false);
    pass(upstream, client, faults, true);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const reset = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  const close = async () => {
    reset();
    await new Promise((resolve) => server.close(() => resolve(undefined)));
  };
  return {
    port,
    get connections() {
      return sockets.size / 2;
    },
    cut: () => {
      faults.cut = true;
      reset();
    },
    heal: () => {
      Object.assign(faults, {
        cut: false,
        latencyMs: 0,
        blackhole: false,
        repliesToDrop: 0,
        sliceBytes: Infinity,
      });
    },
    latency: (ms) => void (faults.latencyMs = ms),
    blackhole: () => void (faults.blackhole = true),
    dropReplies: (chunks) => void (faults.repliesToDrop = chunks),
    slice: (bytes) => void (faults.sliceBytes = bytes),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/**
 * @param {Socket} from
 * @param {Socket} to
 * @param {{ latencyMs: number, blackhole: boolean, repliesToDrop: number, sliceBytes: number }} faults
 * @param {boolean} isReply
 */
function pass(from, to, faults, isReply) {
  let queue = Promise.resolve();
  from.on("data", (/** @type {Buffer} */ chunk) => {
    if (faults.blackhole) return;
    if (isReply && faults.repliesToDrop > 0) {
      faults.repliesToDrop -= 1;
      if (faults.repliesToDrop === 0) to.resetAndDestroy();
      return;
    }
    queue = queue.then(() => deliver(chunk, to, faults));
  });
  from.on("end", () => {
    queue = queue.then(() => void to.end());
  });
}

/**
 * @param {Buffer} chunk
 * @param {Socket} to
 * @param {{ latencyMs: number, sliceBytes: number }} faults
 */
async function deliver(chunk, to, faults) {
  if (faults.latencyMs > 0) await sleep(faults.latencyMs);
  for (let at = 0; at < chunk.length; at += faults.sliceBytes) {
    if (to.destroyed) return;
    to.write(chunk.subarray(at, at + faults.sliceBytes));
    if (faults.sliceBytes !== Infinity) await sleep(0);
  }
}

// One question to a server over TCP, to learn whether it is ready.
import { connect } from "node:net";

/** How long an answer may take, in milliseconds. */
const LIMIT_MS = 1_000;

/**
 * Resolves once `question`, sent to a loopback port, is answered with `answer`.
 *
 * @param {number} port
 * @param {string | Uint8Array} question
 * @param {RegExp} answer - Matched against all that came so far, read as latin1.
 * @returns {Promise<void>}
 * @throws {Error} When something else comes, or nothing in time.
 */
export function ask(port, question, answer) {
  return new Promise((resolve, reject) => {
    let got = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(question));
    socket.setTimeout(LIMIT_MS, () => socket.destroy(new Error(`answered ${JSON.stringify(got)}`)));
    socket.on("error", reject);
    socket.on("close", () => reject(new Error(`closed after ${JSON.stringify(got)}`)));
    socket.on("data", (data) => {
      got += data.toString("latin1");
      if (!answer.test(got)) return;
      resolve();
      socket.destroy();
    });
  });
}

// A dense network on the CPU, for calibrations without a GPU: real arithmetic, whose time grows with the batch.
import { serveModels } from "../../packages/gpu-pool/dist/child-processes.js";

const WIDTH = Number(process.env["HOLDFAST_DENSE_WIDTH"] ?? 256);
const LAYERS = 3;

const weights = Array.from({ length: LAYERS }, (_, layer) =>
  Float32Array.from({ length: WIDTH * WIDTH }, (_value, at) => Math.sin(at * (layer + 1)) / Math.sqrt(WIDTH)),
);

serveModels({
  dense: {
    /** @param {unknown[]} inputs */
    runBatch: (inputs) => {
      let rows = inputs.map((_, row) =>
        Float32Array.from({ length: WIDTH }, (_value, at) => Math.cos(at + row)),
      );
      for (const layer of weights) rows = rows.map((row) => through(layer, row));
      return rows.map((row) => row[0]);
    },
  },
});

/**
 * One layer, with what is below zero left out.
 *
 * @param {Float32Array} layer
 * @param {Float32Array} row
 */
function through(layer, row) {
  const out = new Float32Array(WIDTH);
  for (let to = 0; to < WIDTH; to += 1) {
    let sum = 0;
    for (let from = 0; from < WIDTH; from += 1) sum += (layer[to * WIDTH + from] ?? 0) * (row[from] ?? 0);
    out[to] = Math.max(0, sum);
  }
  return out;
}

// The worker thread of gpu-pool.esm.mjs.
import { serveModels } from "@holdfast/gpu-pool/worker-threads";

serveModels({ double: (input) => input * 2 });

// The collector, which node exposes only when it is told to.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");

/** @type {(options?: { type?: "minor" | "major" }) => void} */
export const collectGarbage = runInNewContext("gc");

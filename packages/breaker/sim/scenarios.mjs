// The scenarios by the name of their picture.
import { coldRestart } from "./scenarios/cold-restart.mjs";
import { hang } from "./scenarios/hang.mjs";
import { retryStorm } from "./scenarios/retry-storm.mjs";

export const SCENARIOS = {
  "retry-storm": retryStorm,
  "cold-restart": coldRestart,
  hang,
};

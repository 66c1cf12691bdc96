// The scenarios by the name of their picture.
import { capacityStep } from "./scenarios/capacity-step.mjs";
import { coldRestart } from "./scenarios/cold-restart.mjs";
import { hang } from "./scenarios/hang.mjs";
import { retryStorm } from "./scenarios/retry-storm.mjs";
import { surge } from "./scenarios/surge.mjs";

export const SCENARIOS = {
  "retry-storm": retryStorm,
  "cold-restart": coldRestart,
  hang,
  "capacity-step": capacityStep,
  surge,
};

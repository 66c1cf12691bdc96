// The scenarios by the name of their picture.
import { retryStorm } from "./scenarios/retry-storm.mjs";

export const SCENARIOS = {
  "retry-storm": retryStorm,
};

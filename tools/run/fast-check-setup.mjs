// Property tests replay: FC_SEED sets the seed, and a failing property prints the one it had.
import fc from "fast-check";
import { beforeAll } from "vitest";

const seed = process.env["FC_SEED"];

beforeAll(() => {
  if (seed !== undefined) fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(seed) });
});

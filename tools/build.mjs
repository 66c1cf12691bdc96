// Builds every workspace that is out of date, as `npm start` and `npm test` do first.
import { prepare, PrepareError } from "./bootstrap/prepare.mjs";

try {
  await prepare();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = error instanceof PrepareError ? error.exitCode : 1;
}

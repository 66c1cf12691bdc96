// Builds every workspace that is out of date.
import { prepare } from "./bootstrap/prepare.mjs";

await prepare();

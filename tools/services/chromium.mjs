// Where a browser is that tests can drive without a display.
import { which } from "./which.mjs";

/** @returns {string | undefined} */
export function findChromium() {
  return which(["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"]);
}

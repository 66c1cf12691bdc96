// Where a program is.
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/**
 * The first executable of one of these names on the PATH or in one of these folders.
 *
 * @param {readonly string[]} names
 * @param {readonly string[]} [folders]
 * @returns {string | undefined}
 */
export function which(names, folders = []) {
  const places = [...(process.env["PATH"] ?? "").split(delimiter), ...folders].filter(Boolean);
  return names.flatMap((name) => places.map((place) => join(place, name))).find(isExecutable);
}

/** @param {string} file */
function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

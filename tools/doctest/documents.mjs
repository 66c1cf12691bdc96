// Which files of the repository hold examples.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

/**
 * @param {string} root
 * @returns {string[]} Paths from the root.
 */
export function documentsIn(root) {
  const rooms = ["packages", "examples"].flatMap((top) => entries(root, top).map((name) => `${top}/${name}`));
  const found = [
    "README.md",
    ...rooms.map((room) => `${room}/README.md`),
    ...filesUnder(root, "docs").filter((file) => file.endsWith(".md")),
    ...rooms
      .filter((room) => room.startsWith("packages/"))
      .flatMap((room) => filesUnder(root, `${room}/src`))
      .filter((file) => file.endsWith(".ts")),
  ];
  return found.filter((file) => existsSync(join(root, file)));
}

/**
 * @param {string} root
 * @param {string} folder
 * @returns {string[]}
 */
function filesUnder(root, folder) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter(({ name }) => name !== "node_modules")
    .flatMap((entry) =>
      entry.isDirectory() ? filesUnder(root, `${folder}/${entry.name}`) : [`${folder}/${entry.name}`],
    )
    .sort();
}

/**
 * @param {string} root
 * @param {string} folder
 */
function entries(root, folder) {
  return existsSync(join(root, folder)) ? readdirSync(join(root, folder)).sort() : [];
}

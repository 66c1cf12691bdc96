// Every file in src is reached from an entry point.
import { startedFiles } from "../entries.mjs";
import { importsOf } from "../imports.mjs";
import { isScript } from "../layout.mjs";

/** @type {import("../tree.mjs").Rule} */
export const deadFiles = {
  name: "dead-files",
  check(tree) {
    const folders = new Set(
      tree.files.flatMap((file) => /^((?:packages|examples)\/[^/]+)\/package\.json$/.exec(file)?.[1] ?? []),
    );
    return [...folders].flatMap((folder) => {
      const alive = reachable(tree, startedFiles(tree, folder));
      return tree.files
        .filter((file) => file.startsWith(`${folder}/src/`) && /\.(ts|lua|sql)$/.test(file))
        .filter((file) => !file.endsWith(".d.ts") && !alive.has(file))
        .map((file) => ({ file, message: "is reached from no entry point: use it or delete it" }));
    });
  },
};

/**
 * @param {import("../tree.mjs").Tree} tree
 * @param {readonly string[]} from
 */
function reachable(tree, from) {
  const seen = new Set(from);
  const rest = [...from];
  for (let file = rest.pop(); file !== undefined; file = rest.pop()) {
    if (!isScript(file)) continue;
    for (const { target } of importsOf(tree, file)) {
      if (target === undefined || seen.has(target)) continue;
      seen.add(target);
      rest.push(target);
    }
  }
  return seen;
}

// No tracked file names a folder of one machine.

const TOPS = ["home", "root", "tmp", "Users", "work", "var/folders"];
const PATH = new RegExp(`(?:^|[\\s"'\`(=:,<>|])((?:file://)?/(?:${TOPS.join("|")})/[\\w.-]+)`);

/** @type {import("../tree.mjs").Rule} */
export const machinePaths = {
  name: "machine-paths",
  check(tree) {
    return tree.files
      .filter((file) => !/\.(png|jpe?g|gif|ico|woff2?|gz|wasm)$/.test(file))
      .flatMap((file) =>
        tree
          .text(file)
          .split("\n")
          .flatMap((text, index) => {
            const path = PATH.exec(text)?.[1];
            if (path === undefined) return [];
            return [{ file, line: index + 1, message: `${path} is a path of one machine: use os.tmpdir()` }];
          }),
      );
  },
};

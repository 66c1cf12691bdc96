// Files are kebab-case.

const CODE = /\.(ts|tsx|mts|mjs|js|lua|sql|html|css|sh)$/;
const KEBAB = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9-]+)+$/;

/** @type {import("../tree.mjs").Rule} */
export const fileNames = {
  name: "file-names",
  check(tree) {
    return tree.files
      .filter((file) => CODE.test(file) && !KEBAB.test(file.split("/").pop() ?? ""))
      .map((file) => ({ file, message: "a file's name is kebab-case" }));
  },
};
